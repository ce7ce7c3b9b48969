"""Callers: what people do with streams, at random, and how they hold a place to its word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.abc import Change, Head, Query, Receipt, Window
from stowfast.backends.objects.protocol.listing import heads, listing
from stowfast.backends.objects.protocol.read import read
from stowfast.backends.objects.protocol.requests import Pause
from stowfast.errors import UnavailableError
from stowfast.semantics import living
from tests.simulator.bucket import Violation
from tests.simulator.history import Append, Removal, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.simulator.process import Process
    from tests.simulator.run import Run

__all__ = ["Caller"]

_SIZES: Final = (8, 8, 30, 60, 130)
_ALL: Final = 2**62
_REPEATS: Final = 4
_IN_FOCUS: Final = 4


class Caller:
    """One after the other does what it has to do. It outlives its process, and then may repeat what it was at."""

    def __init__(self, run: Run, left: int) -> None:
        self._run = run
        self._random = run.scheduler.random
        self._left = left
        self._under_way: tuple[str, Change] | None = None
        self._head: dict[str, Head | None] = {}
        self.process: Process
        self._ways: list[Callable[[str], Generator[Any, Any, None]]] = []
        for way, weight, focus in (
            (self._append, 40, "stalls"), (self._guarded, 8, "calls"), (self._label, 7, "calls"),
            (self._drop, 6, "blobs"), (self._cut, 6, ""), (self._delete, 5, "ends"), (self._expire, 3, ""),
            (self._blob, 8, "blobs"), (self._link, 4, "blobs"), (self._fork, 3, ""), (self._repeat, 5, "calls"),
            (self._read, 13, ""), (self._heads, 3, ""), (self._list, 3, ""), (self._read_blob, 3, "blobs"),
            (self._sweep, 7, "blobs ends"),
        ):  # fmt: skip
            self._ways += [way] * (weight * _IN_FOCUS if run.focus in focus.split() else weight)

    def work(self, process: Process) -> Generator[Any, Any, None]:
        """Do what is left to do."""
        self.process = process
        cut_short, self._under_way = self._under_way, None
        while cut_short is not None or self._left > 0:
            try:
                if cut_short is not None:
                    (name, change), cut_short = cut_short, None
                    if change.op_id is not None and self._random.random() < 0.8:
                        yield from self._commit(name, change)
                    continue
                self._left -= 1
                yield from self._random.choice(self._ways)(self._random.choice(self._run.names))
            except UnavailableError:
                self._run.scheduler.counts["unavailable"] += 1

    # Changes

    def _append(self, name: str) -> Generator[Any, Any, None]:
        yield from self._commit(name, Change(self._entries(), self._op_id(), cold=self._random.random() < 0.3))

    def _guarded(self, name: str) -> Generator[Any, Any, None]:
        head = self._head.get(name)
        yield from self._commit(
            name, Change(self._entries(), self._op_id(), expect=head.next if head is not None else 0)
        )

    def _label(self, name: str) -> Generator[Any, Any, None]:
        head, random = self._head.get(name), self._random
        change = Change(
            op_id=self._op_id(),
            revision=(head.revision if head else 0) if random.random() < 0.5 else None,
            labels={"n": str(random.randrange(3))} if random.random() < 0.7 else None,
            note=b"n" * random.choice((1, 50)),
            base=random.randrange(5) if random.random() < 0.3 else None,
        )
        yield from self._commit(name, change)

    def _drop(self, name: str) -> Generator[Any, Any, None]:
        below = self._position(name)
        yield from self._commit(name, Change(self._some_entries(), self._op_id(), drop_before=below))

    def _cut(self, name: str) -> Generator[Any, Any, None]:
        start = self._position(name)
        yield from self._commit(name, Change(self._some_entries(), self._op_id(), cut_from=start))

    def _delete(self, name: str) -> Generator[Any, Any, None]:
        head = self._head.get(name)
        incarnation = head.incarnation if head and self._random.random() < 0.3 else None
        entries = self._some_entries()
        yield from self._commit(name, Change(entries, self._op_id(), incarnation=incarnation, delete=True))
        # Before others begin it anew: so that a tombstone grows old.
        self._run.scheduler.week_is_due |= not entries and self._random.random() < 0.3

    def _expire(self, name: str) -> Generator[Any, Any, None]:
        at = self.process.now() + self._random.choice((1_000_000, 3_600_000_000, 86_400_000_000))
        yield from self._commit(
            name, Change(self._some_entries(), self._op_id(), expires_at=at if self._random.random() < 0.8 else None)
        )

    def _blob(self, name: str) -> Generator[Any, Any, None]:
        size = self._random.choice((0, 1, 9))
        blob = f"{self._run.ids():0>32}-{size}"
        yield from self.process.write_blob(name, blob, b"b" * size)
        self._run.blobs[name].append(blob)
        if self._random.random() < 0.9:
            yield from self._commit(name, Change(self._entries(), self._op_id(), blobs=(blob,)))

    def _link(self, name: str) -> Generator[Any, Any, None]:
        blobs = self._run.blobs[name]
        if blobs:
            chosen = tuple(dict.fromkeys((self._random.choice(blobs), self._random.choice(blobs[-3:]))))
            yield from self._commit(name, Change(self._entries(), self._op_id(), blobs=chosen))

    def _fork(self, name: str) -> Generator[Any, Any, None]:
        found = yield from self._read_window(name, Window(start=0))
        entries = tuple(entry.data for entry in found)
        if entries:
            # The copies have to be told from what they are copies of.
            copies = tuple(b"%s/%s" % (self._run.ids().encode(), data[:40]) for data in entries)
            other = self._random.choice(self._run.names)
            yield from self._commit(other, Change(copies, self._op_id(), expect=0))

    def _repeat(self, name: str) -> Generator[Any, Any, None]:
        calls = self._run.calls[name]
        if calls:
            yield from self._commit(name, self._random.choice(calls))

    def _commit(self, name: str, change: Change) -> Generator[Any, Any, None]:
        run, self._under_way = self._run, (name, change)
        if change.op_id is not None:
            run.calls[name].append(change)
        for _ in range(_REPEATS):
            began = run.scheduler.step
            self._note_removals(name, change, began)
            try:
                outcome, draft = yield self.process.submit(name, change)
                if isinstance(outcome, UnavailableError):
                    raise outcome
            except UnavailableError:
                run.scheduler.counts["unavailable"] += 1
                if change.op_id is None or self._random.random() < 0.2:
                    break
                continue
            run.answered(name, outcome, draft, began)
            if isinstance(outcome, Receipt):
                self._acknowledged(name, change, outcome, began)
            elif self._random.random() < 0.5:
                yield from self._read_window(name, Window(start=0))
            break
        self._under_way = None

    def _acknowledged(self, name: str, change: Change, receipt: Receipt, began: int) -> None:
        counts, history = self._run.scheduler.counts, self._run.history
        if receipt.repeated:
            counts["repeats"] += 1
            return
        counts["acknowledged"] += 1
        if change.entries:
            ended = self._run.scheduler.step
            history.appends.append(Append(name, began, ended, receipt, tuple(change.entries)))

    def _note_removals(self, name: str, change: Change, began: int) -> None:
        history = self._run.history
        if change.delete:
            history.removals.append(Removal(name, began, 0, _ALL))
        if change.drop_before is not None:
            history.removals.append(Removal(name, began, 0, change.drop_before))
        if change.cut_from is not None:
            history.removals.append(Removal(name, began, change.cut_from, 2**60))
        if change.expires_at not in (None, -1):
            history.expires.setdefault(name, began)

    # Looks

    def _read(self, name: str) -> Generator[Any, Any, None]:
        random, window = self._random, Window(start=0)
        if random.random() < 0.5:
            window = Window(
                random.choice((None, 0, self._position(name))),
                random.choice((None, None, self._position(name))),
                random.choice((None, 1, 3)),
                random.random() < 0.5,
                random.choice((None, 40)),
            )
        yield from self._read_window(name, window)

    def _read_window(self, name: str, window: Window) -> Generator[Any, Any, list[Any]]:
        run, process = self._run, self.process
        began, expired = run.scheduler.step, process.now()
        state, found = yield from read(name, process.known(name), window, process.environment)
        assert state is not None
        process.learn(name, state)
        self._head[name] = found.head
        run.saw(name, state, found, window, (began, expired, process.now()))
        if window == Window(start=0):
            head = found.head
            run.history.reads.append(
                Seen(name, began, run.scheduler.step, head and head.incarnation, head.first if head else 0,
                     {entry.position: entry.data for entry in found.entries})
            )  # fmt: skip
        return found.entries

    def _heads(self, name: str) -> Generator[Any, Any, None]:
        process, run = self.process, self._run
        known = {one: state for one in run.names if (state := process.known(one)) is not None}
        began, expired = run.scheduler.step, process.now()
        found, whole = yield from heads(run.names, known, process.environment)
        for one, head in zip(run.names, found, strict=True):
            run.saw_head(one, head, (began, expired, process.now()))
        for state in whole:
            process.learn(state.name, state)

    def _list(self, name: str) -> Generator[Any, Any, None]:
        began, process = self._run.scheduler.step, self.process
        order: Literal["name", "recent"] = "name" if self._random.random() < 0.5 else "recent"
        heads, expired = self._random.random() < 0.6, process.now()
        found = yield from listing(Query("s/", order=order, heads=heads), None, process.environment)
        self._run.saw_names([one.name for one in found.streams], began)
        for one in found.streams if heads else ():
            self._run.saw_head(one.name, one.head, (began, expired, process.now()))

    def _read_blob(self, name: str) -> Generator[Any, Any, None]:
        if self._run.blobs[name]:
            blob = self._random.choice(self._run.blobs[name])
            began = self._run.scheduler.step
            state, body = yield from self.process.read_blob(name, blob)
            if body is not None and body != b"b" * int(blob.partition("-")[2]):
                raise Violation(f"the blob {blob} is {body!r}")
            self._run.saw_blob(name, state, blob, body is not None, began)

    def _sweep(self, name: str) -> Generator[Any, Any, None]:
        yield from self.process.sweep()
        yield Pause(self._random.random())

    # What to say

    def _op_id(self) -> str | None:
        return f"o{self._run.ids()}" if self._random.random() < 0.6 else None

    def _entries(self) -> tuple[bytes, ...]:
        random = self._random
        return tuple(
            f"<<{self._run.ids()}>>".encode().ljust(random.choice(_SIZES), b".")
            for _ in range(random.choice((1, 1, 1, 2, 3)))
        )

    def _some_entries(self) -> tuple[bytes, ...]:
        return self._entries() if self._random.random() < 0.3 else ()

    def _position(self, name: str) -> int:
        head = self._head.get(name)
        return self._random.randrange(head.next + 2) if head is not None else self._random.randrange(8)


def alive(head: Head | None, times: tuple[int, int, int]) -> tuple[bool, bool]:
    """Say whether a stream had not expired when a call began, and when it ended, by the clock of its process."""
    return living(head, times[1]) is not None, living(head, times[2]) is not None
