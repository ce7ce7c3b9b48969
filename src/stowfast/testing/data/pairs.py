"""Pairs: two messages that a provider takes together or not at all, in the shapes of their makers."""

from __future__ import annotations

from typing import Any, Final

from stowfast.testing.data.frameworks import FRAMEWORKS
from stowfast.testing.data.providers import PROVIDERS

__all__ = ["PAIRS"]

Message = dict[str, Any]

PAIRS: Final[dict[str, tuple[Message, Message, Message, Message]]] = PROVIDERS | FRAMEWORKS
"""By the name of the maker: the user's message, the two of the pair, the answer."""
