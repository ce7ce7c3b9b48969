"""Conversations in PostgreSQL, beside the bare driver."""
