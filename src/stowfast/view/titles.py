"""The titles of listed conversations: their metadata `title`, else the first text of the user.

A text is read from the backend, and kept until its conversation changes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stowfast.errors import DamagedError
from stowfast.view.blocks import spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.records import ContextInfo
    from stowfast.stores import Messages

__all__ = ["Titles"]

_CHARACTERS: Final = 120
_SIDE_BY_SIDE: Final = 8
_FIRST_MESSAGES: Final = 3
_KEPT: Final = 10_000


class Titles:
    """Titles of conversations. The first look at one costs a read; later ones cost none until it changes."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._kept: dict[str, tuple[str, str]] = {}
        """The token of a conversation, and its title."""

    async def of(self, infos: Sequence[ContextInfo]) -> list[str]:
        """Return the title of each conversation, "" for one without."""
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)
        return await asyncio.gather(*(self._title(one, gate) for one in infos))

    def known(self, info: ContextInfo) -> str:
        """Return a title as far as it is known without a read, else ""."""
        return _own(info)[:_CHARACTERS] or (self._kept[info.context_id][1] if self._is_kept(info) else "")

    def _is_kept(self, info: ContextInfo) -> bool:
        return self._kept.get(info.context_id, ("", ""))[0] == info.token

    async def _title(self, info: ContextInfo, gate: asyncio.Semaphore) -> str:
        if _own(info) or self._is_kept(info):
            return self.known(info)
        async with gate:
            title = await self._read(info.context_id)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[info.context_id] = (info.token, title)
        return title

    async def _read(self, context_id: str) -> str:
        try:
            first = await self._messages.read(context_id, limit=_FIRST_MESSAGES, originals=True)
        except DamagedError:  # its own page tells; the list shows the others
            return ""
        said = [spoken(entry.message) for entry in first.entries]
        texts = [block.text for one in said if one.role == "user" for block in one.blocks if block.kind == "text"]
        return " ".join(texts[0].split())[:_CHARACTERS] if texts else ""


def _own(info: ContextInfo) -> str:
    title = info.metadata.get("title")
    return title if isinstance(title, str) else ""
