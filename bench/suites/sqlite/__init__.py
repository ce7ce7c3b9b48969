"""Conversations in a SQLite file, beside the libraries that people keep conversations in, and the bare driver."""
