"""`stowfast view`: a read-only web page of the stores, for a reader on the same machine."""
