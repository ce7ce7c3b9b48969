"""SQLite: one file on one machine, for any number of processes."""

from __future__ import annotations

from stowfast.backends.sqlite.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
