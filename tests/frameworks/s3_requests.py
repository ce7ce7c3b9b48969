"""Requests and bytes on S3, of an adapter and of the framework's own store: counted by a proxy before a real server."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.harness.proxy import Requests, running
from bench.harness.table import as_bytes, as_count
from bench.suites.s3.published import DOLLARS_PER_MILLION, PRICES_OF
from tests.frameworks.environment import ROOT
from tests.frameworks.s3_work import CANNOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.frameworks.environment import Environment
    from tests.frameworks.suites import Work
    from tests.services.s3 import S3Server

LONGEST_STEP: Final = 300
"""Seconds. A longer step hangs."""
COLUMNS: Final = ("work", "store", "PUT", "GET", "LIST", "DELETE", "sent", "received", "$ a million")
HEADING: Final = "### "
NOTES: Final = f"""\
Each line is a new process, so its opening and closing are in it: Stowfast tests the promises of a bucket once in a
process, which is the first line of a table. PUT includes POST, GET includes HEAD; sent and received are bytes of the
bodies. The dollars are for the requests of a million such lines, at the list prices of S3 Standard of {PRICES_OF}:
DELETE is free, and so is traffic within the region."""


class Counted(NamedTuple):
    """The requests of one step with one store."""

    framework: str
    step: str
    store: str
    kinds: Counter[str] | None
    """None: the store has no call for it."""
    sent: int
    received: int

    def row(self) -> str:
        """Return a row of the table."""
        kinds = self.kinds or Counter()
        counts = (kinds["PUT"] + kinds["POST"], kinds["GET"] + kinds["HEAD"], kinds["LIST"], kinds["DELETE"])
        dollars = sum(count * DOLLARS_PER_MILLION[kind] for kind, count in kinds.items())
        cells = [*map(as_count, counts), as_bytes(self.sent), as_bytes(self.received), f"{dollars:,.2f}"]
        if self.kinds is None:
            cells = ["has no call for it", *[""] * (len(cells) - 1)]
        return " | ".join(["", self.step, self.store, *cells, ""]).strip()


def counted(environment: Environment, server: S3Server) -> list[Counted]:
    """Do the work of a framework, and count."""
    assert server.endpoint is not None
    with running(server.endpoint) as proxy:
        return [step for work in environment.framework.on_s3 for step in _steps(environment, work, server, proxy)]


def _steps(environment: Environment, work: Work, server: S3Server, proxy: str) -> Iterator[Counted]:
    for store, title in work.stores.items():
        prefix = uuid.uuid4().hex
        for step, what in work.steps.items():
            requests = Requests(proxy)
            can = _do(environment, [store, step, proxy, server.bucket, prefix])
            requests.keep()
            received = sum(one.received for one in requests.seen)
            kinds = Counter(one.kind for one in requests.seen) if can else None
            yield Counted(environment.framework.title, what, title, kinds, requests.sent(), received)


def _do(environment: Environment, arguments: list[str]) -> bool:
    """Do a step in a process of its own. False: the store has no call for it."""
    module = f"tests.frameworks.{environment.framework.module}.s3_work"
    command = [str(environment.python), "-m", module, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=LONGEST_STEP, check=False
    )
    if done.returncode not in {0, CANNOT}:
        raise RuntimeError(f"{module} {arguments[:2]}\n{done.stderr[-4000:]}")
    return done.returncode == 0


def table(found: list[Counted], before: str = "") -> str:
    """Return the requests as Markdown: a table for each framework, the stores of a step below each other.

    Tables of other frameworks come from the text before.
    """
    _, *sections = before.split(HEADING)
    tables = {title: rows.strip() for title, _, rows in (section.partition("\n") for section in sections)}
    tables |= {
        name: _rows([one for one in found if one.framework == name]) for name in {one.framework for one in found}
    }
    return "\n\n".join([NOTES, *(f"{HEADING}{title}\n\n{tables[title]}" for title in sorted(tables))]) + "\n"


def _rows(found: list[Counted]) -> str:
    steps: dict[str, list[str]] = {}
    for one in found:
        steps.setdefault(one.step, []).append(one.row())
    header = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    return "\n".join([*header, *(row for rows in steps.values() for row in rows)])
