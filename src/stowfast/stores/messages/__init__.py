"""Messages: conversations, each a stream of messages."""

from __future__ import annotations

from stowfast.stores.messages.store import Messages

__all__ = ["Messages"]
