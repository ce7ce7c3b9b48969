"""Values that clauses store."""
