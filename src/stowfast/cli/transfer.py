"""Conversations into a backend and out of it: `stowfast import` and `stowfast export`."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import stowfast
from stowfast.cli.lines import Conversation
from stowfast.cli.terminal import many
from stowfast.errors import ConflictError, DamagedError, InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stowfast import Stores
    from stowfast.cli.lines import Line, LineSource

__all__ = ["Imported", "read_conversations", "store", "store_lines"]

_PAGE: Final = 200
_PROBLEMS_LISTED: Final = 1_000
_IN_FLIGHT: Final = 64
"""Conversations written at a time. A SQLite file stores them in one transaction."""
_BYTES_IN_FLIGHT: Final = 2**24
"""Bytes of their lines. A longer line goes alone."""


@dataclass
class Imported:
    """The result of an import."""

    conversations: int = 0
    messages: int = 0
    already_there: int = 0
    metadata_kept: int = 0
    """Conversations with metadata of their own, not the file's. They keep it."""
    conflicts: int = 0
    bad_lines: int = 0
    first: str | None = None
    """The id of the first conversation of the file now stored."""
    problems: list[dict[str, Any]] = field(default_factory=list)
    """The first thousand conflicts and bad lines. All of them were printed."""
    lines: int = 0
    """The last line read and written. All lines before it are, too."""

    @property
    def complete(self) -> bool:
        """Whether every line of the file is stored now."""
        return not self.conflicts and not self.bad_lines

    def sentence(self) -> str:
        """Return the result as a sentence."""
        text = f"imported {many(self.conversations, 'conversation')} with {many(self.messages, 'message')}"
        for number, told in (
            (self.already_there, "already there"),
            (self.metadata_kept, "with other metadata, which stays"),
            (self.conflicts, "in conflict"),
            (self.bad_lines, "not understood"),
        ):
            text += f", {number:,} {told}" if number else ""
        return text

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {"complete": self.complete, **asdict(self)}

    def note(self, kind: str, line: int, reason: str) -> None:
        """Count a problem, and keep it for the report."""
        if kind == "conflict":
            self.conflicts += 1
        else:
            self.bad_lines += 1
        if len(self.problems) < _PROBLEMS_LISTED:
            self.problems.append({"line": line, "kind": kind, "reason": reason})


async def store(stores: Stores, one: Conversation, done: Imported) -> None:
    """Write one conversation in one commit, unless it is there already. Safe to repeat at any time, by anyone.

    Raises:
        ConflictError: a conversation of this id holds other messages. It stays as it is.
        InvalidError: it cannot be stored. Nothing of it was.
    """
    if one.metadata:
        # It is written after the messages, so it must be known by then that it will not be refused.
        await stowfast.InMemoryMessageStore().set_metadata(one.context_id, one.metadata)
    try:
        # No op_id made from the content: a backend remembers it beyond a deletion, so that bringing back a deleted
        # conversation would be answered "stored", and store nothing. `expect` and the comparison below keep a
        # repeat from doubling anything, also after a lost answer.
        await stores.messages.add_messages(one.context_id, one.messages, expect=0)
    except ConflictError:
        found = await stores.messages.get_messages(one.context_id, originals=True)
        # A conversation that went on after it was imported is there too, with more behind it.
        if not _same(found[: len(one.messages)], one.messages):
            raise ConflictError(f"{one.context_id!r} exists with other messages: left as it is") from None
        done.already_there += 1
    else:
        done.conversations += 1
        done.messages += len(one.messages)
    if one.metadata:
        info = await stores.messages.info(one.context_id)
        if info is None or not info.metadata:
            await stores.messages.set_metadata(one.context_id, one.metadata)
        elif not _same(info.metadata, one.metadata):
            done.metadata_kept += 1


async def store_lines(
    stores: Stores,
    lines: LineSource,
    done: Imported,
    *,
    complain: Callable[[str], None],
    advance: Callable[[int], None],
) -> None:
    """Write every conversation of a file, many at a time. A bad line does not stop the next.

    Args:
        done: counts each conversation once it is acknowledged, also if the import is interrupted.
    """
    begun: deque[tuple[Line, asyncio.Task[None]]] = deque()

    async def end_first() -> None:
        line, task = begun[0]
        try:
            await task
            if done.first is None and line.conversation is not None:
                done.first = line.conversation.context_id
        except (ConflictError, InvalidError) as error:
            conflict = isinstance(error, ConflictError)
            done.note("conflict" if conflict else "bad line", line.number, str(error))
            complain(f"line {line.number}: {'conflict: ' if conflict else ''}{error}")
        begun.popleft()
        done.lines = line.number
        advance(line.size)

    try:
        for line in lines:
            while begun and (line is None or begun[0][1].done() or _must_wait(line, [one for one, _ in begun])):
                await end_first()
            if line is None:
                await lines.ready()
            else:
                begun.append((line, asyncio.create_task(_store_line(stores, line, done))))
        while begun:
            await end_first()
    finally:
        for _, task in begun:
            task.cancel()
        await asyncio.gather(*(task for _, task in begun), return_exceptions=True)


def _must_wait(line: Line, begun: list[Line]) -> bool:
    """Whether a line has to wait for one before it: there are enough of them, or one has the same id."""
    if len(begun) >= _IN_FLIGHT or sum(one.size for one in begun) + line.size > _BYTES_IN_FLIGHT:
        return True
    return any(
        one.conversation and line.conversation and one.conversation.context_id == line.conversation.context_id
        for one in begun
    )


async def _store_line(stores: Stores, line: Line, done: Imported) -> None:
    if line.conversation is None:
        raise InvalidError(line.problem)
    await store(stores, line.conversation, done)


async def read_conversations(stores: Stores, prefix: str = "") -> AsyncIterator[tuple[Conversation, bool]]:
    """Yield every conversation by id, and whether it has a summary: a line cannot carry one.

    Raises:
        DamagedError: at the end: it names the conversations that are damaged.
    """
    after, damaged = None, list[str]()
    while True:
        page = await stores.messages.contexts(prefix=prefix, order="id", after=after, limit=_PAGE)
        damaged += page.damaged
        for ref in page:
            info = await stores.messages.info(ref.context_id)
            if info is None:
                continue  # deleted since it was listed
            try:
                messages = [entry.message async for entry in stores.messages.entries(ref.context_id)]
            except ConflictError:
                continue  # deleted while it was read
            yield Conversation(ref.context_id, messages, info.metadata), info.compacted > 0
        if page.next is None:
            break
        after = page.next
    if damaged:
        raise DamagedError(f"{many(len(damaged), 'conversation')} cannot be read: {', '.join(map(repr, damaged[:10]))}")


def _same(left: Any, right: Any) -> bool:
    # As JSON: to Python 1, 1.0 and True are equal. The order of keys carries no meaning.
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
