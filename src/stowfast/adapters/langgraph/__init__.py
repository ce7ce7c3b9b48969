"""LangGraph over Stowfast: `StowfastSaver` keeps checkpoints, `StowfastStore` keeps long-term memory."""

from __future__ import annotations

from stowfast.adapters.langgraph.saver import StowfastSaver
from stowfast.adapters.langgraph.store import StowfastStore

__all__ = ["StowfastSaver", "StowfastStore"]
