"""Puts Stowfast in the place of the history in memory."""

from __future__ import annotations

import atexit
import uuid
from typing import TYPE_CHECKING

import langchain_core.chat_history
from swapping import fresh_url

from stowfast import sync
from stowfast.adapters.langchain import StowfastChatMessageHistory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

_stores = sync.open(fresh_url())
atexit.register(_stores.close)


class SwappedChatMessageHistory(StowfastChatMessageHistory):
    def __init__(self, messages: Sequence[BaseMessage] = ()) -> None:
        super().__init__(uuid.uuid4().hex, _stores)
        self.add_messages(messages)

    def __eq__(self, other: object) -> bool:
        # The history in memory is a model, and compared by its messages.
        return isinstance(other, SwappedChatMessageHistory) and self.messages == other.messages

    __hash__ = None  # type: ignore[assignment]


setattr(langchain_core.chat_history, "InMemoryChatMessageHistory", SwappedChatMessageHistory)  # noqa: B010 - a type checker refuses another class
