"""LangGraph over Stowfast: `StowfastSaver` keeps checkpoints."""

from __future__ import annotations

from stowfast.adapters.langgraph.saver import StowfastSaver

__all__ = ["StowfastSaver"]
