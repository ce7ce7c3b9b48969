"""Microsoft Agent Framework: history, sessions and checkpoints in any backend. `stowfast[agent-framework]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.adapters.agent_framework.checkpoints import StowfastCheckpointStorage
from stowfast.adapters.agent_framework.history import StowfastHistoryProvider

if TYPE_CHECKING:
    from stowfast.adapters.agent_framework.sessions import StowfastSessionStore

__all__ = ["StowfastCheckpointStorage", "StowfastHistoryProvider", "StowfastSessionStore"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # The framework warns of its session stores, which are experimental: only those who use one shall see that.
        if name != "StowfastSessionStore":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from stowfast.adapters.agent_framework import sessions

        return sessions.StowfastSessionStore
