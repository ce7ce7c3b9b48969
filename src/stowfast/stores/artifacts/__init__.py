"""Artifacts: keeps the files, texts, data and datasets that agents make, every version of them, of any size."""

from __future__ import annotations

from stowfast.stores.artifacts.records import INLINE_BYTES
from stowfast.stores.artifacts.store import Artifacts

__all__ = ["INLINE_BYTES", "Artifacts"]
