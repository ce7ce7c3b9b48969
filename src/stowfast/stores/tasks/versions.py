"""Versions of a task: each is loaded in at most two reads of the backend; versions are compared and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import READS_TOGETHER, Change, Window
from stowfast.blocking import outcomes
from stowfast.deltas import DeltaChain, chain_of, decode, rebuild
from stowfast.errors import DamagedError, InvalidError, NotFoundError, StowfastError, UnsupportedError
from stowfast.records import Retention, TaskState
from stowfast.stores.codec import check_counts, check_given, check_integers, from_duration, stream_name, to_time
from stowfast.stores.codec import decode as decode_json
from stowfast.stores.optimistic import Race
from stowfast.stores.tasks.cache import CachedTask
from stowfast.stores.tasks.head_note import KIND, Keep, TaskNote, id_of, keep_of, kept_by, lease_of
from stowfast.stores.tasks.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from stowfast.abc import Entry, Head, Slice
    from stowfast.deltas import Delta
    from stowfast.stores.tasks.heads import Heads

__all__ = ["Versions"]

_NEWEST: Final = Window(limit=1, newest=True)


class Versions:
    """The versions of tasks."""

    def __init__(self, heads: Heads, retention: Retention) -> None:
        self._heads = heads
        self.retention = retention
        """The retention of tasks saved without one."""

    async def load(self, task_id: str, *, version: int | None = None) -> TaskState | None:
        """Return the newest state of a task, or one of its versions."""
        stream = stream_name(KIND, "task_id", task_id)
        check_integers(version=version)
        if version is not None and version < 1:
            raise InvalidError(f"version={version}: versions begin at 1")
        return await self.version(stream, None if version is None else version - 1)

    async def history(self, task_id: str, *, before: int | None = None, limit: int = 100) -> list[TaskState]:
        """Return the states of a task, the newest first."""
        stream = stream_name(KIND, "task_id", task_id)
        check_given(limit=limit)
        check_counts(limit=limit)
        check_integers(before=before)
        stop = None if before is None else max(before - 1, 0)
        race = Race(f"task {task_id!r}")
        while True:
            head, entries = await self._heads.backend.read(stream, Window(start=0, stop=stop, limit=limit, newest=True))
            states = await self.states(head, entries)
            if states is None:
                race.lose()
                continue
            for state in states:
                self._show(head, state)
            return states[::-1]

    async def states(self, head: Head | None, entries: list[Entry]) -> list[TaskState] | None:
        """Return versions in a row, without those outside the retention; None if a base was removed meanwhile."""
        entries = await self._within_retention(head, entries)
        if head is None or not entries:
            return []
        stored = {one.position: decode(one.data, one.position, _where(head, one.position)) for one in entries}
        more = await self._below(head, entries[0].position, stored)
        if more is None:
            return None
        texts: dict[int, bytes] = {}
        for one in entries:
            texts[one.position] = rebuild(one.position, more, _where(head, one.position), texts=texts)
        return [_state(head, one, texts[one.position]) for one in entries]

    async def load_many(self, task_ids: Sequence[str]) -> list[TaskState | StowfastError | None]:
        """Return the newest state of each task, None for an unknown one, or its error."""
        if not isinstance(task_ids, list | tuple):
            raise InvalidError(f"task_ids must be a list of ids, not {type(task_ids).__name__}")
        streams = [stream_name(KIND, "task_id", task_id) for task_id in task_ids]
        found: list[TaskState | StowfastError | None] = []
        for start in range(0, len(streams), READS_TOGETHER):
            group = streams[start : start + READS_TOGETHER]
            slices = await self._heads.backend.read_many([(stream, _NEWEST) for stream in group])
            found += await outcomes(self._loaded(*one) for one in zip(group, slices, strict=True))
        return found

    async def _loaded(self, stream: str, found: Slice | StowfastError) -> TaskState | None:
        if isinstance(found, StowfastError):
            raise found
        return await self.version(stream, None, found)

    async def diff(self, task_id: str, a: int, b: int) -> list[dict[str, Any]]:
        """Return the difference between two versions as a JSON Patch."""
        try:
            import jsonpatch
        except ImportError as error:
            raise UnsupportedError("diff needs jsonpatch: pip install 'stowfast[diff]'") from error
        states = []
        check_given(a=a, b=b)
        if min(a, b) < 1:
            raise InvalidError(f"diff of {a} and {b}: versions begin at 1")
        for version in (a, b):
            state = await self.load(task_id, version=version)
            if state is None:
                raise NotFoundError(f"task {task_id!r} has no version {version}")
            states.append(state.data)
        patch: list[dict[str, Any]] = jsonpatch.make_patch(*states).patch
        return patch

    async def prune(self, task_id: str, *, keep: int | None = None, older_than: timedelta | None = None) -> int:
        """Remove old versions, and return their number."""
        stream = stream_name(KIND, "task_id", task_id)
        check_integers(keep=keep)
        if (keep is None) == (older_than is None) or (keep is not None and keep < 1):
            raise InvalidError("prune takes keep=, 1 or more, or older_than=")
        if older_than is not None:
            from_duration(older_than, "older_than")
        return await self.prune_to(stream, keep_of(Retention(keep, older_than)))

    async def outside(self, head: Head, bounds: Keep) -> int:
        """Return the number of versions outside the bounds."""
        return max(await self._bound(head, bounds) - max(head.base, head.first), 0)

    async def prune_to(self, stream: str, bounds: Keep, *, quiet: bool = False) -> int:
        """Remove the versions outside the bounds, and return their number.

        Args:
            stream: the stream of the task.
            bounds: the bounds.
            quiet: the task keeps its place in lists by recency.
        """
        race = Race(_named(stream))
        while True:
            (head,) = await self._heads.backend.heads([stream])
            if head is None:
                return 0
            low = await self._bound(head, bounds)
            gone = low - max(head.base, head.first)
            if gone <= 0:
                return 0
            now, entries = await self._heads.backend.read(stream, Window(start=low, limit=1))
            if now is None or now.revision != head.revision or not entries:
                race.lose()
                continue
            floor = decode(entries[0].data, low, _where(head, low)).whole
            change = Change(incarnation=head.incarnation, revision=head.revision, base=low, drop_before=floor)
            change = change._replace(quiet=quiet)
            try:
                if await race.commit(self._heads.backend, stream, change) is not None:
                    return gone
            finally:
                self._heads.cache.forget(stream)

    async def version(self, stream: str, position: int | None, seen: Slice | None = None) -> TaskState | None:
        """Return the version at a position, or the newest.

        Args:
            stream: the stream of the task.
            position: None: the newest.
            seen: the first read, if it was made before.
        """
        window = _NEWEST if position is None else Window(start=position, stop=position + 1)
        race = Race(_named(stream))
        while True:
            head, entries = seen or await self._heads.backend.read(stream, window)
            seen, entries = None, await self._within_retention(head, entries)
            if head is None or not entries:
                return None
            known = await self._known(stream, head, entries[0])
            if known is not None and known.chain is not None:
                state = _state(head, entries[0], known.chain.text)
                self._show(head, state)
                return state
            race.lose()

    def _show(self, head: Head | None, state: TaskState) -> None:
        """Remember the steps that a caller sees in a version."""
        if state.steps and head is not None:
            self._heads.cache.show(head.name, head.incarnation, TaskNote.read(head).encoded())

    async def newest(self, stream: str) -> CachedTask:
        """Return the cached task for the next save. A damaged newest version does not block the save."""
        race = Race(_named(stream))
        while True:
            head, entries = await self._heads.backend.read(stream, Window(limit=1, newest=True))
            if head is None or not entries:
                return CachedTask(head, None)
            try:
                known = await self._known(stream, head, entries[0])
            except DamagedError:
                return CachedTask(head, None)
            if known is not None:
                return known
            race.lose()

    async def _known(self, stream: str, head: Head, entry: Entry) -> CachedTask | None:
        """Return a version with its bases; None if a base was removed meanwhile."""
        position = entry.position
        before = self._heads.cache.get(stream) or CachedTask(None, None)
        same = before.head is not None and before.head.incarnation == head.incarnation
        if same and before.chain is not None and before.chain.position == position:
            known = CachedTask(head, before.chain)
            if position == head.next - 1:
                # The steps recorded by others since are known now, and covered by the next save.
                self._heads.cache.put(stream, known)
            return known
        stored = {position: decode(entry.data, position, _where(head, position))}
        more = await self._below(head, position, stored)
        if more is None:
            return None
        where = _where(head, position)
        known = CachedTask(head, DeltaChain(position, rebuild(position, more, where), chain_of(position, more, where)))
        if position == head.next - 1:
            self._heads.cache.put(stream, known)
        return known

    async def _below(self, head: Head, position: int, stored: dict[int, Delta]) -> dict[int, Delta] | None:
        """Add the bases of versions, the first at `position`; None if one was removed meanwhile."""
        whole = stored[position].whole
        if stored[position].base == position:
            return stored
        if whole < head.first:  # at the very moment at which the version was there
            raise DamagedError(f"{_where(head, position)}: version {whole + 1}, from which it is made, is missing")
        now, entries = await self._heads.backend.read(head.name, Window(start=whole, stop=position, seen=head))
        if now is None or now.incarnation != head.incarnation or now.first > whole:
            return None
        # Only the bases are decoded: the others are read because one range costs less than several.
        below, found = {one.position: one for one in entries}, dict(stored)
        for delta in stored.values():
            base = delta.base
            while base not in found and base in below:
                found[base] = decode(below[base].data, base, _where(head, base))
                base = found[base].base
        return found

    async def _within_retention(self, head: Head | None, entries: list[Entry]) -> list[Entry]:
        """Leave out the versions outside the retention."""
        if head is None or not entries:
            return []
        low = max(head.base, await self._first(head, entries, kept_by(TaskNote.read(head).keep, self.retention)))
        return [one for one in entries if one.position >= low]

    async def _bound(self, head: Head, bounds: Keep) -> int:
        """Return the lowest position within the bounds, from the head and as few versions as it takes to find it."""
        low = await self._first(head, [], bounds)
        if bounds.age is None:
            return low
        low, high = max(low, head.base, head.first), head.next - 1
        while low < high:
            middle = (low + high) // 2
            _, found = await self._heads.backend.read(head.name, Window(start=middle, limit=1))
            if found and await self._first(head, found, bounds) > middle:
                low = middle + 1
            else:
                high = middle
        return low

    async def _first(self, head: Head, entries: list[Entry], bounds: Keep) -> int:
        """Return the lowest position within the bounds. The newest version is always within them."""
        low = 0 if bounds.versions is None else max(head.next - bounds.versions, 0)
        if bounds.age is not None:
            since = await self._heads.backend.now() - bounds.age
            old = [one.position + 1 for one in entries if one.created_at < since]
            low = max(low, *old) if old else low
        return min(low, head.next - 1)


def _named(stream: str) -> str:
    return f"task {stream.removeprefix(f'{KIND}/')!r}"


def _where(head: Head, position: int) -> str:
    return f"task {id_of(head)!r}, version {position + 1}"


def _state(head: Head, entry: Entry, text: bytes) -> TaskState:
    where = _where(head, entry.position)
    record: dict[str, Any] = decode_json(text, where)
    note = TaskNote.read(head) if entry.position == head.next - 1 else TaskNote()
    try:
        return TaskState(
            task_id=id_of(head),
            **{key: record[key] for key in LABELS if key in record},
            metadata={**record.get("metadata", {})},
            version=entry.position + 1,
            updated_at=to_time(entry.created_at, where),
            expires_at=None if head.expires_at is None else to_time(head.expires_at, where),
            lease=lease_of(head, note),
            incarnation=head.incarnation,
            data=record["data"],
            steps=note.results(where),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedError(f"{where}: this is not a task state") from error
