"""Task states: the bytes of their history, the requests of a save, the times of saves and loads, beside LangGraph."""
