"""The copy of one stream: from nothing, or from where an earlier copy ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import Change, Entry, Head, Origin, Window
from stowfast.errors import ConflictError, UnavailableError
from stowfast.moving.blobs import BLOBS_OF, bare_head, blob_in, content_matches, copy_blob, note_with, with_blob
from stowfast.moving.selection import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stowfast.abc import Backend
    from stowfast.moving.results import Copied

__all__ = ["DifferentError", "StreamCopy"]

_PART_BYTES: Final = 4 * 2**20
_MAX_ATTEMPTS: Final = 20
_COLD: Final = "tasks"


class DifferentError(Exception):
    """The target has another stream of this name, or other entries."""


class StreamCopy:
    """The copy of one stream. `run` brings the target to the state of the source at some moment of the call.

    Args:
        replace: a stream of another incarnation at the target is replaced.
        done: counts the writes.
        report: called with `done` after each piece of a blob.
    """

    def __init__(
        self,
        source: Backend,
        target: Backend,
        name: str,
        done: Copied,
        *,
        replace: bool = False,
        report: Callable[[Copied], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._target = target
        self._name = name
        self._done = done
        self._replace = replace
        self._report = report
        self._blobs: dict[str, str] = {}
        """The ids of blobs at the target, by those at the source."""

    async def run(self) -> Head | None:
        """Copy, and return the reached head of the source; None: the stream is gone there.

        Raises:
            DifferentError: another stream of this name lives at the target. It stays as it is.
            DamagedError: the stream is damaged at the source.
            UnavailableError: the stream is copied in part. A later call goes on from there.
        """
        for _ in range(_MAX_ATTEMPTS):
            (head,) = await self._source.heads([self._name])
            (there,) = await self._target.heads([self._name])
            if head is None or (there is not None and bare_head(head) == bare_head(there)):
                return head
            try:
                if await self._bring(head, there):
                    return head
            except ConflictError:
                continue  # another copy of this stream is under way: go on from where it is now
        raise UnavailableError(f"{self._name!r} changed {_MAX_ATTEMPTS} times while it was copied: copy it again")

    async def _bring(self, head: Head, there: Head | None) -> bool:
        """Copy the rest. False: the source changed meanwhile in another way than by appends."""
        delete, start, cut = await self._begin(head, there)
        calls = await self._source.remembered(self._name)
        token = Change(
            expect=0 if there is None else there.next,
            incarnation=there and there.incarnation,
            revision=None if there is None else there.revision,
            delete=delete,
            cut_from=cut,
            cold=kind_of(self._name) == _COLD,
        )
        while True:
            now, entries = await self._read_calls(start)
            if now is None or (now.incarnation, now.revision) != (head.incarnation, head.revision):
                return False
            last = not entries or entries[-1].position + 1 == now.next or len(entries) == now.length
            for part in _parts(self._name, entries) if entries else [entries]:
                ends = last and (not part or part[-1] is entries[-1])
                stop = now.next if ends else part[-1].position + 1
                moved, blobs = await self._moved(part)
                stored = now._replace(next=stop, note=note_with(now, self._blobs))
                change = token._replace(origin=Origin(stored, moved, calls), blobs=blobs)
                receipt = await self._target.commit(self._name, change)
                self._done.entries += len(part)
                self._done.bytes += sum(len(entry.data) for entry in part)
                token = Change(expect=receipt.next, incarnation=now.incarnation, revision=now.revision, cold=token.cold)
                start = receipt.next
            if last:
                return True

    async def foresee(self) -> bool:
        """Count the work of `run`, and write nothing. False: there is none.

        Raises:
            DifferentError: as `run` does.
            DamagedError: the stream is damaged at the source.
        """
        (head,), (there,) = await self._source.heads([self._name]), await self._target.heads([self._name])
        if head is None or (there is not None and bare_head(head) == bare_head(there)):
            return False
        _, start, _ = await self._begin(head, there)
        while entries := (await self._source.read(self._name, Window(start=start, max_bytes=_PART_BYTES))).entries:
            self._done.entries += len(entries)
            for entry in entries:
                self._done.bytes += len(entry.data)
                record = blob_in(self._name, entry.data)
                if record is not None and record.blob not in self._blobs:
                    self._blobs[record.blob] = record.blob
                    self._done.blobs += 1
                    self._done.bytes += record.size
            start = entries[-1].position + 1
        return True

    async def _begin(self, head: Head, there: Head | None) -> tuple[bool, int, int | None]:
        """Return whether to delete the stream at the target, the position to copy from, and that to cut from.

        Raises:
            DifferentError: another stream of this name lives at the target, or it has an entry of its own.
        """
        if there is None:
            return False, 0, None
        if there.incarnation != head.incarnation:
            if not self._replace:
                raise DifferentError("another stream of this name lives there")
            return True, 0, None
        return False, *await self._common(head, there)

    async def _read_calls(self, start: int) -> tuple[Head | None, list[Entry]]:
        """Read the next entries, up to the end of a call."""
        head, entries = await self._source.read(self._name, Window(start=start, max_bytes=_PART_BYTES))
        while head is not None and entries and entries[-1].op_id is not None and entries[-1].position + 1 < head.next:
            after, more = await self._source.read(self._name, Window(start=entries[-1].position + 1, limit=100))
            if after is None or after.incarnation != head.incarnation:
                return None, []
            of_call = [entry for entry in more if entry.op_id == entries[-1].op_id]
            entries += of_call
            if len(of_call) < len(more) or not more:
                break
        return head, entries

    async def _moved(self, part: list[Entry]) -> tuple[list[Entry], list[str]]:
        """Return the entries as the target stores them, and the blobs to link. A part has one blob at most."""
        record = blob_in(self._name, part[0].data) if part else None
        if record is None:
            return part, []
        if record.blob not in self._blobs:
            names = (self._name, self._name)
            self._blobs[record.blob] = await copy_blob(self._source, self._target, names, record, self._count)
            self._done.blobs += 1
        blob = self._blobs[record.blob]
        (entry,) = part
        return [Entry(entry.position, with_blob(entry.data, blob), entry.created_at, entry.op_id)], [blob]

    def _count(self, size: int) -> None:
        self._done.bytes += size
        self._report(self._done)

    async def _common(self, head: Head, there: Head) -> tuple[int, int | None]:
        """Return the position behind the common entries, and the position from which to cut the target.

        Raises:
            DifferentError: the target has an entry of its own.
        """
        if there.next > head.next or there.revision > head.revision or there.first > head.first:
            raise DifferentError("the stream went on there by itself")
        at = head.first
        if there.revision == head.revision and kind_of(self._name) != BLOBS_OF:
            at = max(at, there.next - 1)  # appends alone: the last entry stands for those before it
        while True:
            ours, theirs = await self._side_by_side(at)
            pairs = 0
            for one, other in zip(ours, theirs, strict=False):
                if one.position != other.position:
                    break
                if not self._equal(one, other):
                    raise DifferentError(f"the entry at {one.position} is another one there")
                at, pairs = one.position + 1, pairs + 1
            if theirs[pairs:]:
                if theirs[pairs].position >= head.next:
                    raise DifferentError("the stream went on there by itself")
                return at, at
            if not pairs or pairs < len(ours):
                return max(at, there.next), None

    async def _side_by_side(self, at: int, stop: int | None = None) -> tuple[list[Entry], list[Entry]]:
        """Read entries from a position on from the source, and the same positions from the target."""
        ours = await self._source.read(self._name, Window(at, stop, limit=1_000, max_bytes=_PART_BYTES))
        end = ours.entries[-1].position + 1 if ours.entries else stop
        theirs = await self._target.read(self._name, Window(at, end, limit=1_000))
        return ours.entries, theirs.entries

    def _equal(self, one: Entry, other: Entry) -> bool:
        """Return True for the same entry in both places, and remember its blob."""
        here, there = blob_in(self._name, one.data), blob_in(self._name, other.data)
        data = other.data
        if here is not None and there is not None:
            self._blobs[here.blob] = there.blob
            data = with_blob(other.data, here.blob)
        return (one.position, one.created_at, one.op_id, one.data) == (
            other.position, other.created_at, other.op_id, data,
        )  # fmt: skip

    async def check(self, head: Head) -> bool:
        """Read the stream back from the target, and compare it with the source as it was under this head.

        Returns:
            False: the source changed meanwhile, and nothing was compared.

        Raises:
            DifferentError: something came back different.
        """
        (now,), (there,) = await self._source.heads([self._name]), await self._target.heads([self._name])
        if now is None or (now.incarnation, now.revision) != (head.incarnation, head.revision):
            return False
        if bare_head(there) != bare_head(head):
            raise DifferentError("the head came back different")
        at = head.first
        while True:
            ours, theirs = await self._side_by_side(at, head.next)
            if len(ours) != len(theirs):
                raise DifferentError("entries are missing there")
            for one, other in zip(ours, theirs, strict=True):
                if not self._equal(one, other):
                    raise DifferentError(f"the entry at {one.position} came back different")
                record = blob_in(self._name, other.data)
                if record is not None and not await content_matches(self._target, self._name, record):
                    raise DifferentError(f"the content of the entry at {one.position} came back different")
            if not ours:
                return True
            at = ours[-1].position + 1


def _parts(name: str, entries: list[Entry]) -> Iterator[list[Entry]]:
    """Split entries: each with a blob stands alone: a commit links its blobs to all its entries."""
    plain: list[Entry] = []
    for entry in entries:
        if blob_in(name, entry.data) is None:
            plain.append(entry)
            continue
        if plain:
            yield plain
        yield [entry]
        plain = []
    if plain:
        yield plain
