"""Documents: small shared JSON values by id."""

from __future__ import annotations

from stowfast.stores.documents.store import Documents

__all__ = ["Documents"]
