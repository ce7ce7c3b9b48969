"""PostgreSQL, behind the extra `postgres`."""

from __future__ import annotations

from stowfast.backends.postgres.backend import PostgresBackend

__all__ = ["PostgresBackend"]
