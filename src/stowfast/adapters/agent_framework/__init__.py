"""Microsoft Agent Framework: history, sessions and checkpoints in any backend. `stowfast[agent-framework]`."""

from __future__ import annotations

from stowfast.adapters.agent_framework.checkpoints import StowfastCheckpointStorage
from stowfast.adapters.agent_framework.history import StowfastHistoryProvider
from stowfast.adapters.agent_framework.sessions import StowfastSessionStore

__all__ = ["StowfastCheckpointStorage", "StowfastHistoryProvider", "StowfastSessionStore"]
