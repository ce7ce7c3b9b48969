"""LangGraph over Stowfast: `StowfastSaver` keeps checkpoints, `StowfastStore` keeps long-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.first_use import loader

if TYPE_CHECKING:
    from stowfast.adapters.langgraph.saver import StowfastSaver
    from stowfast.adapters.langgraph.store import StowfastStore

__all__ = ["StowfastSaver", "StowfastStore"]


if not TYPE_CHECKING:
    # An import of checkpoints uses the entries of a thread without LangGraph.
    __getattr__ = loader(__name__, {"StowfastSaver": f"{__name__}.saver", "StowfastStore": f"{__name__}.store"})
