"""The results as a table, for the terminal and for the docs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.frameworks import s3_requests

if TYPE_CHECKING:
    from tests.frameworks.s3_requests import Counted

PAGE = Path(__file__).parents[2] / "docs" / "frameworks" / "index.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
BEGIN_REQUESTS, END_REQUESTS = "<!-- requests -->", "<!-- end of requests -->"
OURS = {"types", "Stowfast's own tests"}


@dataclass(frozen=True)
class Result:
    """One run. `reasons` has the number of tests for each reason why they do not apply."""

    version: str
    framework: str
    name: str
    place: str
    passed: int
    failed: list[str]
    reasons: dict[str, int]
    output: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.passed > 0 and not self.failed

    def __str__(self) -> str:
        """Show one line, and the failures below it."""
        line = f"{self.framework} {self.version}, {self.name} {self.place}: {self.passed} passed"
        line += f", {len(self.failed)} failed, {sum(self.reasons.values())} not applicable, {self.seconds:.0f} s"
        return "\n".join([line, *(f"  {one}" for one in self.failed), *self.output.splitlines()])


def table(found: list[Result]) -> str:
    """Return the results of the frameworks' suites as Markdown. A suite has one row: it is the same on every place."""
    rows: dict[tuple[str, str], Result] = {}
    for one in found:
        if one.name not in OURS:
            rows.setdefault((one.framework, one.name), one)
    lines = ["| framework | release | its own suite | passed | not applicable |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.framework} | {one.version} | {one.name} | {one.passed} | {sum(one.reasons.values())} |"
        for one in rows.values()
    ]
    for one in rows.values():
        if one.reasons:
            lines += ["", f"{one.framework}, {one.name}: not applicable", ""]
            lines += [f"- {number}: {reason}" for reason, number in sorted(one.reasons.items())]
    return "\n".join(lines) + "\n"


def is_written(found: list[Result]) -> bool:
    """Tell whether the page has this table."""
    return table(found) in PAGE.read_text(encoding="utf-8")


def write(found: list[Result], asked: list[Counted]) -> None:
    """Put the tables into the page. What was not run stays as it is there."""
    page = PAGE.read_text(encoding="utf-8")
    if any(one.name not in OURS for one in found):
        page = _with(page, BEGIN, END, table(found))
    if asked:
        before = page.partition(BEGIN_REQUESTS)[2].partition(END_REQUESTS)[0]
        page = _with(page, BEGIN_REQUESTS, END_REQUESTS, s3_requests.table(asked, before))
    PAGE.write_text(page, encoding="utf-8")


def _with(page: str, begin: str, end: str, text: str) -> str:
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{text}\n{end}{after}"
