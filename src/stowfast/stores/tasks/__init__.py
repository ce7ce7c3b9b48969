"""Task states: the state of a run, its owner, and its steps since the last save."""

from __future__ import annotations

from stowfast.stores.tasks.store import Tasks

__all__ = ["Tasks"]
