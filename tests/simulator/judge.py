"""The judge: it sees each request take effect, and holds what is stored against the model at that very moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import Receipt
from stowfast.backends.objects.protocol.index import INDEXES, entries_of
from stowfast.backends.objects.protocol.keys import HEADS, MARKER, keys_of
from stowfast.backends.objects.protocol.load import frames_of
from stowfast.backends.objects.protocol.segment import parse_segment
from stowfast.backends.objects.protocol.state import State, decode_state
from stowfast.errors import ConflictError, StowfastError
from tests.simulator.bucket import Bucket, KnownLimit, Stored, Violation
from tests.simulator.drafts import WatchedDraft, remembered
from tests.simulator.model import Kept, Snapshot, ended, made
from tests.simulator.scheduler import CALM, DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.backends.objects.protocol.frames import Frame, Operation
    from tests.simulator.scheduler import Scheduler

__all__ = ["Judge"]


class Judge:
    """Keeps what each stream was, from each commit to the next."""

    def __init__(self, names: Sequence[str], bucket: Bucket, scheduler: Scheduler) -> None:
        self._bucket = bucket
        self._scheduler = scheduler
        self._names = {keys_of(name).head: name for name in names}
        self.snapshots = {name: [Snapshot(0, 0, None, {}, {}, frozenset())] for name in names}
        self.states = {name: State(name) for name in names}
        self._absent: dict[str, list[int]] = {name: [0] for name in names}
        """The snapshots of no head, the newest last: a stream whose tombstone was removed begins from there."""
        self._origins: dict[str, dict[str, int]] = {name: {} for name in names}
        """From which of them a stream began, by the id of its first commit."""
        self._referred: dict[str, frozenset[str]] = dict.fromkeys(names, frozenset())
        self._frames: dict[str, list[Frame]] = {}
        self._gone: set[str] = set()
        self._resurrected: set[str] = set()
        self._condemned: dict[str, set[str]] = {name: set() for name in names}
        self._e_tags: dict[str, set[str]] = {key: set() for key in self._names}
        self.swept: set[tuple[str, str]] = set()
        """Heads, by key and ETag, of streams that were deleted before a sweep began that has tidied directories."""
        self.strangers = frozenset(bucket.objects) - {MARKER}
        """The objects of other programs in the same bucket: they were there before."""
        WatchedDraft.known_by_id.clear()

    # What takes effect

    def put(self, key: str, stored: Stored) -> None:
        if key in self.strangers:
            raise Violation(f"{key} is not ours, and was overwritten")
        if key.startswith(INDEXES):
            self._check_directory(stored)
            return
        if not key.startswith(HEADS):
            if key in self._gone:
                self._resurrected.add(key)
            return
        name = self._names.get(key)
        if name is None:
            raise Violation(f"{key} is written, and is the head of no stream")
        state = decode_state(name, stored.body, stored.token)
        draft = WatchedDraft.known_by_id[state.id]
        history = self.snapshots[name]
        self._check_turn(name, state, draft)
        draft.won = self._scheduler.step
        now = self._replayed(history[-1], draft, state.commit)
        place = keys_of(name)
        doomed = (*state.grave, *state.condemned)
        now = now._replace(number=len(history), at=self._scheduler.step, doomed=now.doomed.union(doomed))
        referred = self._compare(name, state, now)
        lost = [key for key in referred if key not in self._bucket.objects]
        if lost:
            raise Violation(f"the head of {name!r} refers to {lost}, which is not there")
        folder = place.folder
        again = referred.intersection([folder + file for file in history[-1].doomed])
        self._condemned[name].update(place.folder + file for file in state.condemned)
        if again and again <= self._resurrected - self._condemned[name]:
            # An upload that was answered long ago came once more, behind the deletion of what it had uploaded, and then
            # somebody used that blob again. Should a deletion come once more too, the blob is lost.
            raise KnownLimit(again)
        if again:
            raise Violation(f"the head of {name!r} refers to {again}, which was to be deleted once")
        if not referred.isdisjoint([folder + file for file in doomed]):
            raise Violation(f"the head of {name!r} refers to what is to be deleted")
        history.append(now)
        self.states[name] = state
        self._referred[name] = referred

    def _check_turn(self, name: str, state: State, draft: WatchedDraft) -> None:
        key, e_tag = keys_of(name).head, state.token.e_tag if state.token is not None else None
        if e_tag is None or e_tag in self._e_tags[key]:
            raise Violation(f"an ETag of {name!r} came twice")
        self._e_tags[key].add(e_tag)
        if draft.won is not None:
            raise Violation(f"a commit of {name!r} was written twice")
        if draft.base.token != self.states[name].token:
            raise Violation(f"a commit of {name!r} won against a head that it was not made from")
        if draft.base.token is None:
            self._origins[name][state.origin] = self._absent[name][-1]
        if self._number(name, state) != len(self.snapshots[name]):
            raise Violation(f"{name!r} has commit {state.commit} of {len(self.snapshots[name])}")

    def deleted(self, key: str) -> None:
        self._gone.add(key)
        if key in self.strangers:
            raise Violation(f"{key} is not ours, and was deleted")
        if key in self._names:
            raise Violation(f"{key} is a head, and was deleted")
        if any(key in referred for referred in self._referred.values()):
            raise Violation(f"{key} was deleted while a head refers to it")

    def removed(self, key: str, stored: Stored) -> None:
        """Judge a removal under a condition: of a head, it must be a tombstone without a use."""
        if key in self.strangers:
            raise Violation(f"{key} is not ours, and was removed")
        name = self._names.get(key)
        if name is None:
            return
        if self.states[name].head is not None:
            raise Violation(f"{key} is the head of a living stream, and was removed")
        if self._scheduler.clock - stored.modified < 7 * DAY:
            raise Violation(f"{key} is a tombstone of less than a week, and was removed")
        folder = keys_of(name).folder
        older = [key for key, there in self._bucket.objects.items() if there.modified <= stored.modified]
        if left := [key for key in older if key.startswith(folder) and key not in self.strangers]:
            raise Violation(f"{key} was removed, and {left} were left")
        self._scheduler.counts["tombstones removed"] += self._scheduler.weather is not CALM
        history = self.snapshots[name]
        self._absent[name].append(len(history))
        history.append(Snapshot(len(history), self._scheduler.step, None, {}, {}, history[-1].doomed))
        self.states[name] = State(name)

    def _number(self, name: str, state: State) -> int:
        """Return which snapshot a state is of."""
        if state.token is None:
            return self._absent[name][-1]
        return self._origins[name][state.origin] + state.commit

    def gone(self) -> set[tuple[str, str]]:
        """Return the heads that the streams had which are deleted now."""
        gone = [key for key, name in self._names.items() if self.states[name].head is None]
        return {(key, e_tag) for key in gone for e_tag in self._e_tags[key]}

    def _check_directory(self, stored: Stored) -> None:
        back = self.swept & {(line.key, line.e_tag) for line in entries_of(stored.body)}
        if back:
            raise Violation(f"a directory brings back the heads {back} of what was deleted and swept")

    def referred(self, name: str) -> frozenset[str]:
        """Return the keys that the head of a stream refers to."""
        return self._referred[name]

    def bytes_of(self, key: str) -> bytes:
        """Return what a segment holds, as it is before compression."""
        return b"".join(bytes(frame.raw) for frame in self._frames[key])

    # What was answered

    def current(self, name: str, snapshot: Snapshot, since: int) -> bool:
        """Say whether the stream was so at some moment from `since` until now."""
        history = self.snapshots[name]
        return snapshot is history[-1] or history[snapshot.number + 1].at > since

    def seen(self, name: str, state: State, since: int) -> Snapshot:
        """Return what a state is of, which must have been current since the call began."""
        snapshot = self.snapshots[name][self._number(name, state)]
        if not self.current(name, snapshot, since):
            raise Violation(f"{name!r} was shown as of commit {state.commit}, which was replaced before the call")
        return snapshot

    def answered(self, name: str, outcome: Receipt | StowfastError, draft: WatchedDraft | None, since: int) -> None:
        """Check that an answer was true at some moment of the call."""
        if draft is None:
            # Nobody could tell what became of the commit: only what is known by its op_id may be said to be done.
            if isinstance(outcome, ConflictError) or (isinstance(outcome, Receipt) and not outcome.repeated):
                raise Violation(f"{outcome} is said of a commit of which nobody can tell what became")
            return
        if draft.changed:
            if draft.won is None:
                raise Violation(f"{outcome} was answered, and nothing was written")
            if draft.won <= since:
                raise Violation(f"{outcome} was answered from a commit before the call")
            return
        before = self.snapshots[name][self._number(name, draft.base)]
        # A repeat is told what the first call got, which is true for ever.
        repeats = isinstance(outcome, Receipt) and outcome.repeated
        if not repeats and not self.current(name, before, since):
            raise Violation(f"{outcome} was answered from commit {before.number}, which was replaced before the call")
        # That a blob is gone is seen when it is looked for, which is later.
        before = before._replace(doomed=self.snapshots[name][-1].doomed)
        after = self._replayed(before, draft, before.number)
        if after != before:
            raise Violation(f"{outcome} was answered, and nothing was written")

    def _replayed(self, now: Snapshot, draft: WatchedDraft, commit: int) -> Snapshot:
        if draft.ended:
            now = ended(now)
        for one in draft.made:
            now = made(now, one, commit, remembered())
        return now._replace(head=now.head and now.head._replace(name=draft.base.name))

    # What is stored

    def _compare(self, name: str, state: State, now: Snapshot) -> frozenset[str]:
        if state.head != now.head:
            raise Violation(f"the head of {name!r} is {state.head}, and should be {now.head}")
        place = keys_of(name)
        frames: list[Frame] = []
        referred = set()
        for ref in state.segments:
            key = place.segment(state.life, ref.id)
            referred.add(key)
            if key not in self._frames:
                if key not in self._bucket.objects:
                    raise Violation(f"the head of {name!r} refers to {key}, which is not there")
                body = self._bucket.objects[key].body
                self._frames[key] = frames_of(name, (parse_segment(name, ref, body), body))
            frames += self._frames[key]
        frames += state.tail
        found = {}
        blobs: set[str] = set()
        for frame in frames:
            linked = tuple(frame.blobs)
            blobs.update(linked)
            for entry in frame.entries():
                found[entry.position] = Kept(entry.data, entry.created_at, entry.op_id, linked)
        if found != now.entries or list(found) != sorted(found):
            raise Violation(f"{name!r} has {_brief(found)}, and should have {_brief(now.entries)}")
        self._compare_calls(name, state.operations, {frame.op_id for frame in frames}, now)
        referred.update(map(place.blob, blobs))
        return frozenset(referred)

    @staticmethod
    def _compare_calls(name: str, operations: Sequence[Operation], there: set[str | None], now: Snapshot) -> None:
        window = remembered()
        if len(operations) > window:
            raise Violation(f"{name!r} remembers {len(operations)} calls")
        for known in operations:
            call = now.calls[known.op_id]
            if (known.incarnation, known.first, known.next, known.at) != call.receipt[:4]:
                raise Violation(f"{name!r} remembers {known}, which was {call}")
        forgotten = now.remembered(window) - there - {known.op_id for known in operations}
        if forgotten:
            raise Violation(f"{name!r} has forgotten the calls {sorted(forgotten)}")


def _brief(entries: object) -> str:
    assert isinstance(entries, dict)
    return "{" + ", ".join(f"{position}: {kept.data[:8]!r}" for position, kept in entries.items()) + "}"
