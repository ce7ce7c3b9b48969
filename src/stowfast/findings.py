"""Findings about the state of an open backend: by a test that writes, or by reads within a bounded time."""

from __future__ import annotations

import asyncio
import secrets
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from stowfast.abc import Change, Query, Window
from stowfast.errors import DamagedError, StowfastError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Backend

__all__ = ["Examined", "Finding", "examined", "since", "surveyed"]

_PAGE: Final = 1_000
"""A bucket tells the order of all its streams anew for each page."""
_STREAMS: Final = 1_000
_ENTRIES: Final = 100
_BYTES: Final = 2**20
_CLOCK_SECONDS: Final = 60
"""The difference of two clocks that is worth a remark."""


class Finding(NamedTuple):
    """One line of the report."""

    sentence: str
    """A sentence about the backend without its subject, such as `opens`."""
    passed: bool | None
    """None: a remark, neither right nor wrong."""
    detail: str = ""
    """The reason of a failure, or the remark."""
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        milliseconds = None if self.seconds is None else round(self.seconds * 1000, 3)
        return {"what": self.sentence, "passed": self.passed, "detail": self.detail, "milliseconds": milliseconds}


class Examined(Protocol):
    """An optional method of a backend: a report about its file or bucket."""

    def examine(self, *, race: bool) -> AsyncIterator[tuple[str, bool | None, str]]:
        """Yield a sentence, its verdict (None: a remark), and a detail or "".

        With `race` many writers race for one key too. It takes seconds.
        """
        ...


async def examined(backend: Backend, *, race: bool) -> AsyncIterator[Finding]:
    """Yield the findings of a test that writes one stream and deletes it.

    Raises:
        StowfastError: of the backend. It is the last finding of a report.
    """
    yield _served(backend)
    if hasattr(backend, "examine"):
        async for sentence, passed, detail in cast("Examined", backend).examine(race=race):
            yield Finding(sentence, passed, detail)
    elif race:
        yield Finding("has no races to run", None, "--race is for object storage")
    stream = f"stowfast-doctor-{secrets.token_hex(8)}"
    entry = secrets.token_bytes(1_000)
    began = perf_counter()
    await backend.commit(stream, Change(entries=[entry], expect=0))
    yield since(began, "commits")
    began = perf_counter()
    found = await backend.read(stream)
    yield since(began, "gives back what was committed", [one.data for one in found.entries] == [entry])
    began = perf_counter()
    await backend.commit(stream, Change(delete=True))
    yield since(began, "forgets what was deleted", await backend.heads([stream]) == [None])


async def surveyed(backend: Backend, *, seconds: float, streams: int | None = None) -> list[Finding]:
    """Return the findings of reads alone, within a time. Nothing is written.

    It reads the newest hundred entries, up to 1 MiB, of each of the thousand streams that changed last, with their
    checksums. The content of artifacts is not read. When the time is over, the last finding says how far it came.

    Args:
        backend: an open backend.
        seconds: the longest time. A read under way is left then.
        streams: the most streams to read, if not a thousand.
    """
    survey = _Survey(backend, _STREAMS if streams is None else streams)
    end = monotonic() + seconds
    try:
        async with asyncio.timeout(seconds):
            await survey.run()
    except TimeoutError:
        pass  # the last finding tells
    except StowfastError as error:
        survey.findings.append(Finding("answers", False, str(error)))
    return [*survey.findings, survey.extent(seconds if monotonic() >= end else None)]


class _Survey:
    def __init__(self, backend: Backend, most: int) -> None:
        self._backend = backend
        self._most = most
        self.findings = [_served(backend)]
        self._streams = self._entries = self._damaged = 0
        self._more = True

    async def run(self) -> None:
        began = perf_counter()
        apart = abs(await self._backend.now() / 1_000_000 - time())
        remark = f"it and the clock of this machine differ by {apart:,.0f} s" if apart > _CLOCK_SECONDS else ""
        self.findings.append(Finding("tells the time", None if remark else True, remark, perf_counter() - began))
        after, began = None, perf_counter()
        while self._streams < self._most:
            page = await self._backend.streams(Query("", after=after, order="recent", limit=min(_PAGE, self._most)))
            if after is None:
                self.findings.append(since(began, "lists what changed last"))
            for one in page.streams:
                await self._read(one.name)
            after = page.after
            if after is None:
                self._more = False
                return

    async def _read(self, name: str) -> None:
        try:
            window = Window(limit=_ENTRIES, newest=True, max_bytes=_BYTES)
            self._entries += len((await self._backend.read(name, window)).entries)
        except DamagedError as error:
            self._damaged += 1
            self.findings.append(Finding(f"gives {name} back", False, str(error)))
        self._streams += 1

    def extent(self, seconds: float | None) -> Finding:
        """Return how much was read. `seconds` is given if the time was over."""
        told = f"the newest {self._entries:,} entries of {self._streams:,} streams were read"
        if seconds is not None:
            told += f", then the {seconds:g} s for it were over: stowfast verify reads all"
        elif self._more:
            told += ", those that changed last: stowfast verify reads all"
        return Finding("gives undamaged entries back", not self._damaged, told)


def _served(backend: Backend) -> Finding:
    return Finding(f"is served by {type(backend).__name__}", None, (type(backend).__doc__ or "").partition("\n")[0])


def since(began: float, sentence: str, passed: bool = True) -> Finding:
    """Return a finding with the time since `began`, a moment of `perf_counter`."""
    return Finding(sentence, passed, "", perf_counter() - began)
