"""The backends: memory, SQLite, object storage."""
