"""The tail of a conversation: its messages read from the newest back, with the pairs among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Window
from stowfast.stores.codec import decode
from stowfast.stores.messages.formats import Reading, read_links
from stowfast.stores.messages.metadata import messages_of
from stowfast.stores.messages.pairs import Pairs, pair

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from stowfast.abc import Backend, Entry, Head
    from stowfast.records import Links

__all__ = ["Tail"]

_PAGE_BYTES: Final = 2**18
_LOOK_BACK: Final = 1_000
"""The number of older messages searched for the call of a result. Further apart they are no pair any more."""


class Tail:
    """The newest messages of a conversation, as far as they were read.

    Args:
        start, stop: as in `Window`. Nothing outside is read.
        belongs_to: as in `Messages.get_messages`.
    """

    def __init__(
        self,
        backend: Backend,
        stream: str,
        start: int | None,
        stop: int | None,
        belongs_to: Callable[[dict[str, Any]], Links | None] | None,
    ) -> None:
        self._stream = stream
        self._belongs_to = belongs_to
        self._entries = _backwards(backend, stream, start, stop)
        self._readings: list[Reading] = []
        self.positions: list[int] = []
        """The positions of the messages, the newest first."""
        self.created_at = 0
        """The time of the message read last."""
        self.head: Head | None = None
        """The head of the first read: of all messages, it has the first of `positions` as its newest."""

    async def older(self) -> tuple[dict[str, Any], bytes] | tuple[None, bytes]:
        """Read one more message, and return it with its bytes; None: there is none before."""
        async for head, entry in self._entries:
            if self.head is None:  # a later page may come with messages added since
                self.head = head
            if entry is None:
                break
            message: dict[str, Any] = decode(entry.data, self._stream)
            self._readings.append(read_links(message, self._belongs_to))
            self.positions.append(entry.position)
            self.created_at = entry.created_at
            return message, entry.data
        return None, b""

    async def fewest(self, kept: int) -> int:
        """Return the number of newest messages, at most `kept`, that belong to nothing before them."""
        most = len(self.positions) + _LOOK_BACK
        while True:
            pairs = self._pairs()
            start = pairs.first_whole(len(self.positions) - kept)
            if not pairs.reaches_back(start) or not await self._look_back(most):
                return len(self.positions) - start

    async def most(self, kept: int) -> int:
        """Return the number of newest messages, at least `kept`, that belong to nothing before them.

        A call at the end whose result is still to come is kept, too.
        """
        most = len(self.positions) + _LOOK_BACK
        while True:
            pairs = self._pairs()
            start = pairs.last_whole(len(self.positions) - kept)
            is_whole = not pairs.reaches_back(start) and not pairs.ends_in_calls()
            if is_whole or not await self._look_back(most):
                return len(self.positions) - start

    async def aclose(self) -> None:
        """Stop reading."""
        await self._entries.aclose()

    def _pairs(self) -> Pairs:
        return pair(self._readings[::-1])

    async def _look_back(self, most: int) -> bool:
        """Read further back, as many again as are known; False: there is nothing, or it is too far."""
        known = len(self.positions)
        wanted = min(2 * known + 1, most)
        while len(self.positions) < wanted and (await self.older())[0] is not None:
            pass
        return len(self.positions) > known


async def _backwards(
    backend: Backend, stream: str, start: int | None, stop: int | None
) -> AsyncGenerator[tuple[Head, Entry | None], None]:
    """Yield entries from the newest back, each with the head, and once None at the end."""
    incarnation = None
    while True:
        head, entries = await backend.read(stream, Window(start=start, stop=stop, newest=True, max_bytes=_PAGE_BYTES))
        if head is None or head.incarnation != (incarnation or head.incarnation):
            return  # deleted: the messages read so far were true when they were read
        incarnation = head.incarnation
        for entry in reversed(messages_of(entries)):
            yield head, entry
        if not entries:
            yield head, None
            return
        stop = entries[0].position
