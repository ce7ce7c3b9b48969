"""One history, from a seed: processes, callers, weather; then silence, in which all that is garbage must go."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Window
from stowfast.backends.objects.protocol.read import read
from stowfast.backends.objects.protocol.requests import Limits, Pause, Token
from stowfast.errors import StowfastError, UnavailableError
from stowfast.semantics import living
from tests.simulator.bucket import Bucket, KnownLimit, Stored, Violation
from tests.simulator.callers import Caller, alive
from tests.simulator.drafts import tune, watched
from tests.simulator.history import History
from tests.simulator.judge import Judge
from tests.simulator.process import Process
from tests.simulator.quiet import check_ended, check_quiet
from tests.simulator.scheduler import CALM, DAY, MOST_LEAPS, Scheduler, Weather

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from stowfast.abc import Change, Head, Receipt, Slice
    from stowfast.backends.objects.protocol.requests import Steps
    from stowfast.backends.objects.protocol.state import State
    from tests.simulator.drafts import WatchedDraft

__all__ = ["Run", "simulate"]

_ID: Final = "0123456789abcdef" * 2

STRANGERS: Final = (
    "h/s/b", "h/s/a/!.sfh", "h/s/B!.sfh", "h/messages/c!.sfh/x", "i/s", "d/2026/11/photo.jpg", "d/s/a/b/total.csv",
    "d/s/a/00000001/z", f"d/s/a/b/{_ID}", f"d/s/a/00000001/{_ID}", f"d/s/a/1/{_ID}.sfs", f"d/s/A/b/{_ID}.sfb",
    f"d/d/s/a/b/{_ID}.sfb", f"d/d/s/a/00000001/{_ID}.sfs", "d/h/s/a!.sfh", "d/i/s.sfi", "d/other.sfm",
)  # fmt: skip
"""Keys of other programs, and of a store inside this one: nearly ours."""

_NAMES: Final = (("s/a",), ("s/a", "s/B!"), ("s/a",), ("s/a", "s/" + "n" * 300))


class Run:
    """A history of streams. Another kind of history has other names, limits and people."""

    judge: Judge
    names: Sequence[str]
    limits: Limits
    focus: str

    def __init__(self, seed: int, bucket: Callable[[], Bucket] = Bucket, focus: str | None = None) -> None:
        random = Random(seed)
        self.bucket = bucket()
        others = Random(-1 - seed)  # so that strangers change nothing else of a history
        for key in others.sample(STRANGERS, others.choice((0, 0, 3, len(STRANGERS)))):
            self.bucket.objects[key] = Stored(b"x" * others.choice((0, 1, 17, 21)), Token(key, None), 0)
        self.scheduler = Scheduler(random, Weather.of(random), self.bucket)
        self.scheduler.crash = self._crash
        self.scheduler.week = self._pass_a_week
        self.history = History()
        self._numbers = count(1)
        self._processes = count(1)
        self._callers: dict[Process, list[Any]] = {}
        self._furnish(random)
        self.bucket.watcher = self.judge
        self._populate(random, focus)

    def _furnish(self, random: Random) -> None:
        self.names = random.choice(_NAMES)
        self.scheduler.leaps = MOST_LEAPS
        self.scheduler.weather = self.scheduler.weather._replace(weeks=random.choice((0, 0.005, 0.02)))
        self.limits = Limits(
            tail=random.choice((120, 300)), kept=40, newest=random.choice((125, 200)), head=random.choice((250, 400)),
            block=100, growing=random.choice((200, 300)), segment=random.choice((350, 700, 2000)),
            fan_in=2, commits=random.choice((2, 2, 4, 8, 64)),
        )  # fmt: skip
        tune(random.choice((3, 64)), random.choice((2**20, 2**20, 250)))
        self.judge = Judge(self.names, self.bucket, self.scheduler)
        self.blobs: dict[str, list[str]] = {name: [] for name in self.names}
        self.calls: dict[str, list[Change]] = {name: [] for name in self.names}

    def _populate(self, random: Random, focus: str | None) -> None:
        size = random.choice((8, 16, 24, 36))
        self.focus = random.choice(("", "", "blobs", "calls", "stalls", "ends"))
        self.focus = self.focus if focus is None else focus
        if self.focus == "stalls":
            self.limits = self.limits._replace(commits=1)
            self.scheduler.weather = self.scheduler.weather._replace(faults=0.1, crashes=0)
            self.scheduler.stalls = 0.8
        if self.focus == "ends":
            self.scheduler.weather = self.scheduler.weather._replace(weeks=0.02, faults=random.choice((0, 0.02, 0.1)))
        processes = random.choice((1, 2, 3, 3))
        for _ in range(processes):
            callers = [Caller(self, size // processes // 2 + 1) for _ in range(random.choice((1, 2, 3)))]
            self._begin(callers)

    def ids(self) -> str:
        return f"{next(self._numbers):x}"

    def play(self, *, swept: bool = True) -> None:
        """Let everything happen, then check; without `swept`, not what is left in the bucket."""
        self.scheduler.run()
        self.scheduler.flush()
        self.scheduler.clock += 2 * DAY
        self.scheduler.weather = CALM
        if swept:
            self._sweep()
            self._sweep()
            check_quiet(self.bucket, self.names, self.judge)
            if self.bucket.removes:
                for _ in range(2):  # the first may end what has expired
                    self.scheduler.clock += 8 * DAY
                    self._sweep()
                check_quiet(self.bucket, self.names, self.judge)
                check_ended(self.bucket, self.names, self.judge)
        self._read_all()
        self.history.check()

    def close(self) -> None:
        """End what is still under way."""

    def _begin(self, callers: list[Any]) -> None:
        process = Process(next(self._processes), self.scheduler, self._new_id, self.limits, self.judge)
        self._callers[process] = callers
        for caller in callers:
            self.scheduler.spawn(process, caller.work(process))

    def _crash(self) -> None:
        process = self.scheduler.random.choice(list(self._callers))
        self.scheduler.kill(process)
        self._begin(self._callers.pop(process))

    def _pass_a_week(self) -> None:
        random = self.scheduler.random
        sweeper = random.choice([None, *self._callers, *self._callers])
        away = random.choice((0, 20, 40, 60, 80))
        for process, callers in self._callers.items():
            process.rest()
            if process is sweeper:
                self.scheduler.spawn(process, self._sweep_quietly(process))
            for caller in callers:
                # Others come back while the sweep goes on: else a stream would always have begun anew before its end.
                self.scheduler.spawn(process, self._come_back(caller, process, away + random.choice((0, 3, 10))))

    @staticmethod
    def _come_back(caller: Any, process: Process, steps: int) -> Steps[None]:
        for _ in range(steps):
            yield Pause(0)
        yield from caller.work(process)

    @staticmethod
    def _sweep_quietly(process: Process) -> Steps[None]:
        with suppress(UnavailableError):
            yield from process.sweep()

    def _new_id(self) -> str:
        return f"{next(self._numbers):032x}"

    def _quiet(self) -> Process:
        process = Process(0, self.scheduler, self._new_id, self.limits, self.judge)
        process.skew, process.speed = 0, 1
        return process

    def _sweep(self) -> None:
        process = self._quiet()
        self.scheduler.spawn(process, process.sweep())
        self.scheduler.run()

    def _read_all(self) -> None:
        """Read everything, as whoever comes last."""
        process = self._quiet()

        def last() -> Any:
            for name in self.names:
                began, then, window = self.scheduler.step, process.now(), Window(start=0)
                state, found = yield from read(name, None, window, process.environment)
                assert state is not None
                self.saw(name, state, found, window, (began, then, process.now()))

        self.scheduler.spawn(process, last())
        self.scheduler.run()

    # What callers saw

    def answered(self, name: str, outcome: Receipt | StowfastError, draft: WatchedDraft | None, began: int) -> None:
        self.judge.answered(name, outcome, draft, began)

    def saw(self, name: str, state: State, found: Slice, window: Window, times: tuple[int, int, int]) -> None:
        snapshot = self.judge.seen(name, state, times[0])
        if found.head is None:
            if living(snapshot.head, times[2]) is not None:
                raise Violation(f"{name!r} was read as if it were not there: {snapshot}")
            return
        if found.head != snapshot.head or living(snapshot.head, times[1]) is None:
            raise Violation(f"{name!r} was read with {found.head}, and should have {snapshot.head}")
        low = found.head.base if window.start is None else window.start
        high = found.head.next if window.stop is None else window.stop
        entries = [
            (position, kept.data, kept.at, kept.op_id)
            for position, kept in snapshot.entries.items()
            if low <= position < high
        ]
        if window.newest:
            entries.reverse()
        taken: list[tuple[int, bytes, int, str | None]] = []
        size = 0
        for entry in entries[: window.limit]:
            if window.max_bytes is not None and taken and size >= window.max_bytes:
                break
            taken.append(entry)
            size += len(entry[1])
        if window.newest:
            taken.reverse()
        if [(one.position, one.data, one.created_at, one.op_id) for one in found.entries] != taken:
            raise Violation(f"{name!r} was read as {found.entries}, and should be {taken}: {window}")

    def saw_head(self, name: str, head: Head | None, times: tuple[int, int, int]) -> None:
        for snapshot in reversed(self.judge.snapshots[name]):
            if not self.judge.current(name, snapshot, times[0]):
                break
            then, now = alive(snapshot.head, times)
            if (head is None and not now) or (head is not None and then and head == snapshot.head):
                return
        raise Violation(f"{name!r} had never the head {head} during the call")

    def saw_names(self, found: Sequence[str], began: int) -> None:
        if strangers := set(found) - set(self.names):
            raise Violation(f"{strangers} are listed, and none of ours wrote them")
        for name in self.names:
            current = [one for one in self.judge.snapshots[name] if self.judge.current(name, one, began)]
            expires = any(one.head is not None and one.head.expires_at is not None for one in current)
            lives = {one.head is not None for one in current}
            if not expires and len(lives) == 1 and (name in found) not in lives:
                raise Violation(f"{name!r} is{'' if name in found else ' not'} listed: {found}")

    def saw_blob(self, name: str, state: State, blob: str, found: bool, began: int) -> None:
        snapshot = self.judge.seen(name, state, began)
        if found and blob not in snapshot.blobs:
            raise Violation(f"the blob {blob} of {name!r} was read, and nothing refers to it")


def simulate(
    seed: int,
    bucket: Callable[[], Bucket] = Bucket,
    *,
    swept: bool = True,
    focus: str | None = None,
    trace: Callable[[str], None] | None = None,
    kind: Callable[[int, Callable[[], Bucket], str | None], Run] = Run,
) -> Counter[str]:
    """Play one history, and return what was done in it.

    Raises:
        Violation: a promise was broken.
    """
    with watched():
        run = kind(seed, bucket, focus)
        try:
            run.scheduler.trace = trace
            run.play(swept=swept)
        except KnownLimit:
            run.scheduler.counts["cut short by a known limit"] += 1
        except StowfastError as error:
            raise Violation(f"nobody caught {error!r}") from error
        finally:
            run.close()
    run.scheduler.counts["histories"] += 1
    return run.scheduler.counts
