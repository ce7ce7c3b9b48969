"""Artifacts: files, texts, data and datasets of any size, in all their versions."""

from __future__ import annotations

from stowfast.stores.artifacts.records import INLINE_BYTES
from stowfast.stores.artifacts.store import Artifacts

__all__ = ["INLINE_BYTES", "Artifacts"]
