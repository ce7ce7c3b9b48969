"""The results as a table, for the terminal and for the docs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "frameworks" / "index.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
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


def write(found: list[Result]) -> None:
    """Put the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(found)}\n{END}{after}", encoding="utf-8")
