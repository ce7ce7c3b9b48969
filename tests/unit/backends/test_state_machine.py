"""Memory and SQLite against a plain dict of lists: any sequence of calls leaves both with the same streams."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stowfast.abc import KEEP, Backend, Change, Query, Receipt, Window
from stowfast.backends.memory import MemoryBackend
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.blocking import run_in_place
from stowfast.errors import ConflictError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence

T = TypeVar("T")

LONG_AGO, LATER = 1, 2**52
NAMES = ("a", "a/b", "B")
LABELS = st.dictionaries(st.sampled_from("kl"), st.sampled_from(("", "v", "w")), max_size=2)
PICK = st.integers(0, 99)
BUDGET = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def picked(known: Iterable[T], pick: int) -> T:
    """Pick by number: ids are random, and the draws of hypothesis must not depend on them."""
    choices = list(known)
    return choices[pick % len(choices)]


@dataclass
class Life:
    """The content of one incarnation of a stream: position -> (bytes, op_id, blobs)."""

    incarnation: str
    rows: dict[int, tuple[bytes, str | None, tuple[str, ...]]] = field(default_factory=dict)
    next: int = 0
    first: int = 0
    base: int = 0
    revision: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    note: bytes = b""
    expires_at: int | None = None


class Places(RuleBasedStateMachine):
    """Subclasses name the backend, and run its coroutines."""

    def __init__(self) -> None:
        super().__init__()
        self.lives: dict[str, Life] = {}
        self.past: list[str] = ["never"]
        self.calls: dict[tuple[str, str], tuple[Change, Receipt]] = {}
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self.linked: set[str] = set()

    async def opened(self) -> Backend:
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        raise NotImplementedError

    @initialize()
    def open(self) -> None:
        self.place = self.run(self.opened())

    def commit(self, stream: str, change: Change) -> None:
        """Make a change in both, and compare their answers."""
        life = self.lives.get(stream)
        known = self.calls.get((stream, change.op_id or ""))
        following, revision = (life.next, life.revision) if life else (0, 0)
        if known and change.expect != 0 and len(known[0].entries) != len(change.entries):
            with pytest.raises(InvalidError):
                self.run(self.place.commit(stream, change))
        elif known:
            assert self.run(self.place.commit(stream, change)) == known[1]._replace(repeated=True)
        elif (
            change.expect not in (None, following)
            or change.revision not in (None, revision)
            or change.incarnation not in (None, life and life.incarnation)
            or not self.usable(stream, change) >= set(change.blobs)
        ):
            with pytest.raises(ConflictError):
                self.run(self.place.commit(stream, change))
        else:
            receipt = self.run(self.place.commit(stream, change))
            self.model(stream, change, receipt)
            if change.op_id:
                self.calls[stream, change.op_id] = (change, receipt)

    def usable(self, stream: str, change: Change) -> set[str]:
        life = None if change.delete else self.lives.get(stream)
        living = {blob for *_, blobs in life.rows.values() for blob in blobs} if life else set()
        return living | {blob for blob, (owner, _) in self.blobs.items() if owner == stream and blob not in self.linked}

    def model(self, stream: str, change: Change, receipt: Receipt) -> None:
        life = self.lives.get(stream)
        if life is None or change.delete:
            self.lives.pop(stream, None)
            lasts = change.expires_at not in (KEEP, None) or change.ttl is not None
            if not (change.entries or change.labels or change.note or lasts):
                assert (receipt.first, receipt.next, receipt.repeated) == (0, 0, False)
                return
            assert receipt.incarnation not in self.past
            self.past.append(receipt.incarnation)
            life = self.lives[stream] = Life(receipt.incarnation)
        expected = (life.incarnation, life.next, life.next + len(change.entries), False)
        assert (receipt.incarnation, receipt.first, receipt.next, receipt.repeated) == expected
        drop, cut = min(change.drop_before or 0, life.next), change.cut_from
        plain = drop <= life.first and (cut is None or cut >= life.next)
        life.first = max(life.first, drop)
        if cut is not None and cut <= life.first:
            life.first = life.next  # a cut of all is a drop of all
        for position in list(life.rows):
            if position < life.first or (cut is not None and position >= cut):
                del life.rows[position]
        for data in change.entries:
            life.rows[life.next] = (data, change.op_id, tuple(change.blobs))
            life.next += 1
        if change.entries:
            self.linked |= set(change.blobs)
        kept = (change.labels, change.note, change.base)
        moves = change.expires_at != KEEP or change.ttl is not None
        life.revision += not (plain and kept == (None, None, None) and not moves)
        life.labels = life.labels if change.labels is None else change.labels
        life.note = life.note if change.note is None else change.note
        life.base = life.base if change.base is None else change.base
        life.expires_at = life.expires_at if change.expires_at == KEEP else change.expires_at
        if change.ttl is not None:
            life.expires_at = receipt.committed_at + change.ttl
        if life.expires_at == LONG_AGO:
            del self.lives[stream]

    @rule(
        stream=st.sampled_from(NAMES),
        entries=st.lists(st.binary(max_size=4), max_size=3),
        expect=st.sampled_from((None, None, "next", 0, 3)),
        named=st.booleans(),
    )
    def append(self, stream: str, entries: Sequence[bytes], expect: object, named: bool) -> None:
        life = self.lives.get(stream)
        at = expect if isinstance(expect, int) else None
        if expect == "next":
            at = life.next if life else 0
        op_id = f"op-{len(self.calls)}" if named else None
        self.commit(stream, Change(entries, expect=at, op_id=op_id))

    @rule(
        stream=st.sampled_from(NAMES),
        what=st.fixed_dictionaries(
            {},
            optional={
                "entries": st.lists(st.binary(max_size=4), max_size=2),
                "labels": LABELS,
                "note": st.binary(max_size=4),
                "base": st.integers(0, 8),
                "expires_at": st.sampled_from((KEEP, None, LATER, LONG_AGO)),
                "ttl": st.just(3_600_000_000),
                "delete": st.booleans(),
                "drop_before": st.integers(0, 8),
                "cut_from": st.integers(0, 8),
                "quiet": st.booleans(),
            },
        ),
        pinned=st.sampled_from(("", "", "right", "revision", "past")),
        named=st.booleans(),
        pick=PICK,
    )
    def change(self, stream: str, what: dict[str, Any], pinned: str, named: bool, pick: int) -> None:
        life = self.lives.get(stream)
        if "ttl" in what:
            what.pop("expires_at", None)
        if what.get("entries"):
            what.pop("quiet", None)
        change = Change(**what, op_id=f"op-{len(self.calls)}" if named else None)
        if pinned == "right" and life:
            change = change._replace(incarnation=life.incarnation, revision=life.revision)
        elif pinned == "revision":
            change = change._replace(revision=pick % 4)
        elif pinned == "past":
            change = change._replace(incarnation=picked(self.past, pick))
        self.commit(stream, change)

    @precondition(lambda self: self.calls)
    @rule(pick=PICK, other=st.sampled_from((None, None, [b"x"], [b"x", b"y", b"z", b"!"])))
    def repeat(self, pick: int, other: Sequence[bytes] | None) -> None:
        stream, op_id = picked(self.calls, pick)
        change, _ = self.calls[stream, op_id]
        self.commit(stream, change if other is None else change._replace(entries=other))

    @rule(stream=st.sampled_from(NAMES), body=st.binary(max_size=4))
    def upload(self, stream: str, body: bytes) -> None:
        async def chunks():
            for byte in body:
                yield bytes([byte])

        self.blobs[self.run(self.place.write_blob(stream, chunks()))] = (stream, body)

    @precondition(lambda self: self.blobs)
    @rule(pick=PICK, stream=st.sampled_from(NAMES), delete=st.booleans())
    def link(self, pick: int, stream: str, delete: bool) -> None:
        # What was cut off may be linked again until a sweep: the contract leaves it open, so it is not asked.
        live = set().union(*(self.usable(name, Change()) for name in NAMES))
        if known := [blob for blob in self.blobs if blob in live]:
            self.commit(stream, Change([b"blob"], blobs=(picked(known, pick),), delete=delete))

    @precondition(lambda self: self.blobs)
    @rule(pick=PICK, stream=st.sampled_from(NAMES), start=st.integers(0, 5), stop=st.sampled_from((None, 0, 2, 9)))
    def read_blob(self, pick: int, stream: str, start: int, stop: int | None) -> None:
        blob = picked(self.blobs, pick)
        life = self.lives.get(stream)

        async def read() -> bytes:
            return b"".join([chunk async for chunk in self.place.read_blob(stream, blob, start=start, stop=stop)])

        if life and any(blob in blobs for *_, blobs in life.rows.values()):
            assert self.run(read()) == self.blobs[blob][1][start:stop]
        else:
            with pytest.raises(NotFoundError):
                self.run(read())

    @rule(
        stream=st.sampled_from(NAMES),
        start=st.sampled_from((None, 0, 2, 9)),
        stop=st.sampled_from((None, 0, 3, 9)),
        limit=st.sampled_from((None, 0, 1, 3)),
        newest=st.booleans(),
        max_bytes=st.sampled_from((None, 1, 4, 9)),
    )
    def read(self, stream: str, newest: bool, **asked: Any) -> None:
        life = self.lives.get(stream) or Life("")
        start = life.base if asked["start"] is None else asked["start"]
        stop = 99 if asked["stop"] is None else asked["stop"]
        limit = 99 if asked["limit"] is None else asked["limit"]
        window: list[tuple[int, bytes]] = []
        for position in sorted(life.rows, reverse=newest):
            full = asked["max_bytes"] is not None and sum(len(data) for _, data in window) >= asked["max_bytes"]
            if start <= position < stop and len(window) < limit and not (full and window):
                window.append((position, life.rows[position][0]))
        found = self.run(self.place.read(stream, Window(newest=newest, **asked)))
        assert [(entry.position, entry.data) for entry in found.entries] == (window[::-1] if newest else window)
        assert (found.head is not None) == (stream in self.lives)

    @rule(
        prefix=st.sampled_from(("", "a", "a/", "B", "c")),
        where=st.one_of(st.none(), LABELS),
        limit=st.integers(1, 4),
        order=st.sampled_from(("name", "recent")),
    )
    def list(self, prefix: str, where: dict[str, str] | None, limit: int, order: Literal["name", "recent"]) -> None:
        held = [(name, life.labels) for name, life in self.lives.items() if name.startswith(prefix)]
        wanted = sorted(name for name, labels in held if (where or {}).items() <= labels.items())
        found, after = [], None
        for _ in range(9):
            page = self.run(self.place.streams(Query(prefix, where=where, order=order, after=after, limit=limit)))
            found += page.streams
            after = page.after
            if after is None:
                break
        if order == "recent":
            assert found == sorted(found, key=lambda one: (-one.updated_at, one.name))
        assert (sorted(one.name for one in found) if order == "recent" else [one.name for one in found]) == wanted

    @rule(stream=st.sampled_from(NAMES), known=st.booleans(), next=st.integers(0, 3), pick=PICK)
    def wait(self, stream: str, known: bool, next: int, pick: int) -> None:
        life = self.lives.get(stream)
        now = (life.incarnation, life.next) if life else (None, 0)
        asked = now if known else (picked([None, *self.past], pick), next)
        waited = self.run(self.place.wait(stream, incarnation=asked[0], next=asked[1], timeout=0))
        assert waited == (asked != now)

    @rule()
    def sweep(self) -> None:
        self.run(self.place.sweep())

    @rule()
    def reopen(self) -> None:
        self.run(self.place.close())
        self.place = self.run(self.opened())

    @invariant()
    def both_hold_the_same(self) -> None:
        if not hasattr(self, "place"):
            return
        for name, head in zip(NAMES, self.run(self.place.heads(NAMES)), strict=True):
            found = self.run(self.place.read(name, Window(start=0)))
            assert found.head == head
            life = self.lives.get(name)
            if life is None:
                assert (head, found.entries) == (None, [])
                continue
            rows = [(position, *row[:2]) for position, row in sorted(life.rows.items())]
            assert [(entry.position, entry.data, entry.op_id) for entry in found.entries] == rows
            times = [entry.created_at for entry in found.entries]
            assert times == sorted(times)
            assert head is not None
            assert (head.name, head.incarnation, head.length) == (name, life.incarnation, len(life.rows))
            assert (head.next, head.first, head.base, head.revision) == (
                life.next,
                life.first,
                life.base,
                life.revision,
            )
            assert (head.labels, head.note, head.expires_at) == (life.labels, life.note, life.expires_at)

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.run(self.place.close())


class Memory(Places):
    def __init__(self) -> None:
        super().__init__()
        self.kept = MemoryBackend()

    async def opened(self) -> Backend:
        opening = MemoryBackend()
        vars(opening).update(vars(self.kept))
        return opening

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return run_in_place(coroutine)


class SQLite(Places):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    async def opened(self) -> Backend:
        return await SQLiteBackend.open(f"sqlite:///{self.folder.name}/place.db", durability="relaxed")

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return run_in_place(coroutine)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class SQLiteOnALoop(SQLite):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(coroutine)

    def teardown(self) -> None:
        super().teardown()
        self.loop.close()


TestMemory = Memory.TestCase
TestMemory.settings = settings(BUDGET, max_examples=400)
TestSQLite = SQLite.TestCase
TestSQLite.settings = BUDGET
TestSQLiteOnALoop = SQLiteOnALoop.TestCase
TestSQLiteOnALoop.settings = settings(BUDGET, max_examples=40)
