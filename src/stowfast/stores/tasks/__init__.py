"""Task states: where a run stood, who goes on with it, and what it has done since."""

from __future__ import annotations

from stowfast.stores.tasks.store import Tasks

__all__ = ["Tasks"]
