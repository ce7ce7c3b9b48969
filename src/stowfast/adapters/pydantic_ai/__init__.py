"""Pydantic AI: conversations in any backend. `pip install 'stowfast[pydantic-ai]'`.

Use `StowfastConversationStore("sqlite:///agent.db")` in the place of `InMemoryConversationStore()`. `run_saved` runs an
agent, saves after each node, and goes on with a run that was killed.
"""

from __future__ import annotations

from stowfast.adapters.pydantic_ai.runs import run_saved
from stowfast.adapters.pydantic_ai.store import StowfastConversationStore

__all__ = ["StowfastConversationStore", "run_saved"]
