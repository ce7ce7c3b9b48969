"""`stowfast doctor`: opens a backend and reports the state of its file or bucket, line by line."""

from __future__ import annotations

import secrets
import warnings
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from stowfast.abc import Change
from stowfast.cli.urls import existing, scrub
from stowfast.errors import StowfastError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stowfast.abc import Backend
    from stowfast.cli.terminal import Screen

__all__ = ["Examined", "Finding", "look", "print_finding"]

_LONGEST = 600


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


async def look(url: str, *, race: bool, show: Callable[[Finding], None]) -> list[Finding]:
    """Open a backend and return the findings; each is shown at once. Data of the test is removed.

    An error of the backend is the last finding.
    """
    findings: list[Finding] = []

    def found(finding: Finding) -> None:
        findings.append(finding)
        show(finding)

    began = perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning at opening is a finding of `examine` too
            stores = await existing(url)
        found(_since(began, "opens"))
        try:
            async for finding in _examine(stores.backend, race=race):
                found(finding)
        finally:
            await stores.close()
    except StowfastError as error:
        found(Finding("answers", False, scrub(str(error), [url])))
    return findings


async def _examine(backend: Backend, *, race: bool) -> AsyncIterator[Finding]:
    yield Finding(f"is served by {type(backend).__name__}", None, (type(backend).__doc__ or "").partition("\n")[0])
    if hasattr(backend, "examine"):
        async for sentence, passed, detail in cast("Examined", backend).examine(race=race):
            yield Finding(sentence, passed, detail)
    elif race:
        yield Finding("has no races to run", None, "--race is for object storage")
    stream = f"stowfast-doctor-{secrets.token_hex(8)}"
    entry = secrets.token_bytes(1_000)
    began = perf_counter()
    await backend.commit(stream, Change(entries=[entry], expect=0))
    yield _since(began, "commits")
    began = perf_counter()
    found = await backend.read(stream)
    yield _since(began, "gives back what was committed", [one.data for one in found.entries] == [entry])
    began = perf_counter()
    await backend.commit(stream, Change(delete=True))
    yield _since(began, "forgets what was deleted", await backend.heads([stream]) == [None])


def _since(began: float, sentence: str, passed: bool = True) -> Finding:
    return Finding(sentence, passed, "", perf_counter() - began)


def print_finding(screen: Screen, finding: Finding) -> None:
    """Print one line, and below it the detail."""
    detail = screen.short(finding.detail, _LONGEST)
    screen.verdict(finding.passed, screen.short(finding.sentence, _LONGEST), finding.seconds, detail)
