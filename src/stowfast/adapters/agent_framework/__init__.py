"""Microsoft Agent Framework: history, sessions and checkpoints in any backend. `stowfast[agent-framework]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.adapters.agent_framework.checkpoints import StowfastCheckpointStorage
from stowfast.adapters.agent_framework.history import StowfastHistoryProvider
from stowfast.first_use import loader

if TYPE_CHECKING:
    from stowfast.adapters.agent_framework.sessions import StowfastSessionStore

__all__ = ["StowfastCheckpointStorage", "StowfastHistoryProvider", "StowfastSessionStore"]


if not TYPE_CHECKING:
    # The framework warns of its session stores, which are experimental: only a program that uses one shall see that.
    __getattr__ = loader(__name__, {"StowfastSessionStore": f"{__name__}.sessions"})
