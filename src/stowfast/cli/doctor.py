"""`stowfast doctor`: opens a backend and reports the state of its file or bucket, line by line."""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import TYPE_CHECKING

from stowfast.cli.urls import existing, scrub
from stowfast.errors import StowfastError
from stowfast.findings import Finding, examined, since

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.cli.terminal import Screen

__all__ = ["look", "print_finding"]

_LONGEST = 600


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
        found(since(began, "opens"))
        try:
            async for finding in examined(stores.backend, race=race):
                found(finding)
        finally:
            await stores.close()
    except StowfastError as error:
        found(Finding("answers", False, scrub(str(error), [url])))
    return findings


def print_finding(screen: Screen, finding: Finding) -> None:
    """Print one line, and below it the detail."""
    detail = screen.short(finding.detail, _LONGEST)
    screen.verdict(finding.passed, screen.short(finding.sentence, _LONGEST), finding.seconds, detail)
