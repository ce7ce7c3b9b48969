"""Saving: checkpoints and pending writes on their way into a thread's log."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, TypeAlias

from stowfast.abc import Change
from stowfast.adapters.langgraph.entries import StoredCheckpoint, StoredWrites, as_id, encode_entry, encode_writes
from stowfast.adapters.langgraph.marks import Mark
from stowfast.adapters.langgraph.outbox import Letter
from stowfast.adapters.langgraph.threads import MAX_READS, unsettled
from stowfast.blocking import alone
from stowfast.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.abc import Receipt
    from stowfast.adapters.langgraph.entries import Write
    from stowfast.adapters.langgraph.texts import ThreadTexts
    from stowfast.adapters.langgraph.threads import Thread, Threads

__all__ = ["CheckpointLetter", "WritesLetter", "deliver"]

_OP_ID_BYTES: Final = 8


class CheckpointLetter(Letter[int]):
    """A checkpoint to be put. The result is its position.

    Args:
        fork: it counts whatever else was put.
        mark: the state of the thread when the run last saw the parent; None: unknown.
        incarnation: of the thread with the parent; None: unknown.
    """

    urgent = True

    def __init__(
        self,
        ns: str,
        id: str,
        parent: str | None,
        metadata: bytes,
        text: bytes,
        *,
        fork: bool,
        mark: Mark | None,
        incarnation: str | None,
    ) -> None:
        super().__init__()
        self.ns, self.id, self.parent, self.metadata, self.text = ns, id, parent, metadata, text
        self.fork, self.mark, self.incarnation = fork, mark, incarnation

    @property
    def may_begin(self) -> bool:
        """The run looked, and there was no such thread."""
        return self.mark is not None and self.mark.incarnation is None

    def since(self, texts: ThreadTexts | None) -> int | None:
        """Return the position below which the run knows all; None: it never saw the parent."""
        log = texts.log if texts is not None else None
        found = [-1]
        if self.mark is not None and self.mark.incarnation in {None, log.incarnation if log is not None else None}:
            found.append(self.mark.next)
        if log is not None and self.parent is not None and (place := log.place_of(self.ns, self.parent)) is not None:
            found.append(place + 1)
        return max(found) if max(found) >= 0 else None


class WritesLetter(Letter[None]):
    """Pending writes to be put. They may begin a thread: their checkpoint comes later.

    Args:
        id: of their checkpoint.
        incarnation: of the thread with the checkpoint; None: unknown.
    """

    def __init__(self, ns: str, id: str, task: str, path: str, writes: list[Write], *, incarnation: str | None) -> None:
        super().__init__()
        self.ns, self.id, self.task, self.path, self.writes = ns, id, task, path, writes
        self.text = encode_writes(writes)
        self.incarnation = incarnation
        self.may_begin = True


_Letters: TypeAlias = "Sequence[CheckpointLetter | WritesLetter]"


async def deliver(threads: Threads, thread: Thread, letters: _Letters) -> None:
    """Commit letters to a thread: at once, if they agree about its incarnation.

    Sets the result of each letter, or its ConflictError: another run went on from the parent before, or the thread was
    deleted since the run saw it.
    """
    left = list(letters)
    for _ in range(MAX_READS):
        ready = [letter for letter in left if await _is_ready(threads, thread, letter)]
        left = [letter for letter in ready if letter.incarnation != ready[0].incarnation]
        batch = [letter for letter in ready if letter.incarnation == ready[0].incarnation]
        if batch and not await _commit(threads, thread, batch):
            left = ready
        if not left:
            return
    raise unsettled(thread.id)


async def _is_ready(threads: Threads, thread: Thread, letter: CheckpointLetter | WritesLetter) -> bool:
    """Read the needs of the entry of a letter. False: the letter has its error."""
    texts = thread.texts
    checkpoint = letter.parent if isinstance(letter, CheckpointLetter) else letter.id
    if texts is not None and letter.incarnation in {None, texts.log.incarnation}:
        with alone(texts.log.lock):
            position = None if checkpoint is None else texts.log.position_of(letter.ns, checkpoint)
            known = position is not None and texts.needed_from(position) >= texts.log.floor
        # An unknown parent may have been put by another process since the last read.
        begins = checkpoint is None and texts.log.floor == 0
        if known or begins or isinstance(letter, WritesLetter):
            letter.incarnation = texts.log.incarnation
            return True
    elif (
        texts is None
        and letter.incarnation is None
        and (isinstance(letter, WritesLetter) or letter.since(None) is not None)
    ):
        return True  # it begins the thread
    _, texts, position = await threads.find(thread.id, letter.ns, checkpoint)
    now = texts.log.incarnation if texts is not None else None
    if letter.incarnation in {None, now}:
        letter.incarnation = now
        return True
    # The thread was deleted since, or its checkpoints were taken over into a new incarnation.
    if texts is not None and isinstance(letter, CheckpointLetter):
        _, texts, newest = await threads.find(thread.id, letter.ns, None)
        goes_on = newest == position
        letter.mark = Mark(now, texts.log.next if texts is not None else 0)
    else:
        goes_on = position is not None
    letter.incarnation = now
    if not goes_on:
        letter.result.set_exception(ConflictError(f"thread {thread.id!r} was deleted or pruned since this run saw it"))
    return goes_on


async def _commit(threads: Threads, thread: Thread, letters: _Letters) -> bool:
    """Commit letters in one change. False: the thread has another incarnation by now."""
    texts, incarnation = thread.texts, letters[0].incarnation
    if texts is not None and incarnation not in {None, texts.log.incarnation}:
        return False
    if texts is None:
        texts = threads.blank(thread)
    with alone(texts.log.lock):
        entries = [_entry(texts, letters, number) for number in range(len(letters))]
    change = Change(
        [encode_entry(entry) for entry in entries],
        op_id=secrets.token_urlsafe(_OP_ID_BYTES),
        incarnation=incarnation,
    )
    try:
        receipt = await (await threads.backend()).commit(thread.stream, change)
    except ConflictError:
        threads.forget(thread, thread.texts)
        return False
    known = threads.landed(thread, receipt, entries)
    for number, letter in enumerate(letters):
        if isinstance(letter, WritesLetter):
            _keep_writes(thread, receipt, receipt.first + number, letter.text)
            letter.result.set_result(None)
        elif await _counts(threads, thread, letter, receipt, receipt.first + number, known=known):
            letter.result.set_result(receipt.first + number)
        else:
            letter.result.set_exception(
                ConflictError(
                    f"thread {thread.id!r}: another run went on from the checkpoint that this run began with, so "
                    "this checkpoint does not count: load the thread again",
                    current=receipt.next,
                )
            )
    return True


def _entry(texts: ThreadTexts, letters: _Letters, number: int) -> StoredCheckpoint | StoredWrites:
    letter, id = letters[number], as_id(letters[number].id)
    if isinstance(letter, WritesLetter):
        stored = StoredWrites(letter.ns, id, as_id(letter.task), letter.path, -1, "", b"")
        return texts.writes_entry(stored, letter.text)
    parent = None if letter.parent is None else as_id(letter.parent)
    since = letter.since(texts)
    entry = StoredCheckpoint(
        letter.ns, id, parent, letter.metadata, since or 0, letter.fork or since is None, (), "", b""
    )
    beside = {
        before - number: other.writes
        for before, other in enumerate(letters[:number])
        if isinstance(other, WritesLetter) and (other.ns, other.id) == (letter.ns, letter.parent)
    }
    return texts.checkpoint_entry(entry, letter.text, beside=beside)


def _keep_writes(thread: Thread, receipt: Receipt, position: int, text: bytes) -> None:
    texts = thread.texts
    if texts is not None and texts.log.incarnation == receipt.incarnation:
        with alone(texts.log.lock):
            texts.keep(position, text)


async def _counts(
    threads: Threads, thread: Thread, letter: CheckpointLetter, receipt: Receipt, position: int, *, known: bool
) -> bool:
    texts = thread.texts if known else await threads.refresh(thread)
    if texts is None or texts.log.incarnation != receipt.incarnation:
        return True  # stored, and then deleted with its thread
    if not known and not await threads.complete(thread, texts, position):
        return True
    with alone(texts.log.lock):
        counts = texts.log.counts(position)
        if counts:
            texts.keep(position, letter.text)
    return counts
