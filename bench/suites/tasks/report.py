"""The tables and the bars: the bytes of a task's history, and the cost of a save and of a load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.harness.bars import Bar, Spread
from bench.harness.table import as_bytes, as_median, as_requests, machine, print_bars, print_table
from bench.suites.tasks.rounds import measure
from bench.suites.tasks.workloads import CONTENDERS, EDITS, KINDS, OURS, STEPS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from bench.harness.contender import Figures
    from bench.harness.rounds import Say
    from bench.suites.tasks.rounds import Found

__all__ = ["bars", "run", "show"]

STORED: Final = 12
"""Megabytes that a thousand versions may take, and that may be sent for them."""
GROWN: Final = 4
GETS: Final = 4
"""Requests of a bucket for a load of the newest version."""
PARSED: Final = 4
READS: Final = 2
PARSERS: Final = ("json", "msgspec")
WHERE: Final = {"stowfast_sqlite": "SQLite", "stowfast_s3": "bucket"}

NOTES: Final = """\
Sent: bytes of all bodies that went to the bucket, background work included. ~: a peer made a tenth of the saves, and
its stored and sent bytes are multiplied. A load has a new client, with nothing in memory; "json.loads" and "msgspec"
are its time as a multiple of parsing its plain JSON. Requests are those of one save or one load. Times are medians over
the rounds. LangGraph's savers have their defaults: its DeltaChannel, in beta, and the compression of the saver for
buckets are off. See bench/README.md.
"""


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    found = measure(options.half, options.endpoint, say)
    judged = bars(found)
    print(f"\n{machine(found.server)}\n")
    show(judged, found)
    return judged, found._asdict()


def bars(found: Found) -> list[Bar]:
    """Judge the run."""

    def bar(promise: str, limit: float, unit: str, figures: Figures, name: str, value: Callable[[], float]) -> Bar:
        spread = Spread.of([] if "error" in figures else [value()])
        return Bar.at_most(promise, limit, unit, spread, WHERE[name])

    judged = []
    for name in OURS:
        grown = found.counted["grow"][name]
        for figure in ("stored", "sent") if name in OURS[1:] else ("stored",):
            promise = f"{STEPS} steps, {figure} / final size"
            amount = grown.get(figure, 0) / grown.get("size", 1)
            judged.append(bar(promise, GROWN, " x", grown, name, lambda amount=amount: amount))
    judged += gets(found)
    for kind in KINDS:
        for figure, names in (("stored", OURS), ("sent", OURS[1:])):
            for name in names:
                edited = found.counted[f"edit {kind}"][name]
                promise = f"{EDITS:,} saves of a megabyte, {kind}, {figure}"
                amount = edited.get(figure, 0) / 1e6
                judged.append(bar(promise, STORED, " MB", edited, name, lambda amount=amount: amount))
        for name in OURS:
            parsed = Spread.of(one["load"] / one["json"] for one in found.timed[f"turn {kind}"][name] if "load" in one)
            judged.append(Bar.at_most(f"load of its newest, {kind} / json.loads", PARSED, " x", parsed, WHERE[name]))
        for name in OURS:
            old = found.counted[f"old {kind}"][name]
            promise = f"any version of it, {kind}, reads"
            judged.append(bar(promise, READS, "", old, name, lambda old=old: old["reads"]))
    return judged


def gets(found: Found) -> list[Bar]:
    """Judge the requests of a load of the newest version, of each shape."""
    judged = []
    for name in OURS[1:]:
        shapes = {
            "of the conversation": ("grow", "asked of its newest"),
            **{one: (f"turn {one}", "asked") for one in KINDS},
        }
        for shape, (workload, asked) in shapes.items():
            counted = found.counted[workload][name]
            many = Spread.of([sum(counted[asked].values())] if asked in counted else [])
            judged.append(Bar.at_most(f"load of its newest, {shape}, requests", GETS, "", many, WHERE[name]))
    return judged


def show(judged: Sequence[Bar], found: Found) -> None:
    """Print everything."""
    counted, timed = found.counted, found.timed

    def table(title: str, header: tuple[str, ...], workload: str, cells: Any, of: str = "") -> None:
        rows = [
            [CONTENDERS[name].label, *(["failed"] if "error" in one else cells(one, timed[of or workload][name]))]
            for name, one in counted[workload].items()
        ]
        print_table(title, ("", *header), rows)

    def size(workload: str) -> str:
        return as_bytes(next((one["size"] for one in counted[workload].values() if "size" in one), 0))

    table(
        f"{STEPS} steps of a conversation that has {size('grow')} in the end, all of it saved at each",
        ("stored", "sent", "requests", "step 10", f"step {STEPS}"), "grow", _grown,
    )  # fmt: skip
    for kind in KINDS:
        title = f"{EDITS:,} saves of a state of {size(f'edit {kind}')}, of which 1 kB changes each time: {kind}"
        table(title, ("stored", "sent", "requests", "save"), f"edit {kind}", _edited, f"turn {kind}")
        header = ("load", "slowest", "json.loads x", "msgspec x", "requests")
        table("The newest of them, loaded", header, f"turn {kind}", _loaded)
        table("Any of them, loaded", ("load", "slowest", "reads", "requests"), f"old {kind}", _old)
    for complaint in found.complaints:
        print(complaint)
    print(NOTES)
    print_bars("Bars of task states", judged)


def _grown(counted: Figures, rounds: Sequence[Figures]) -> list[str]:
    amounts = [counted.get(figure) for figure in ("stored", "sent")]
    sizes = [f"{as_bytes(one)} ({one / counted['size']:.1f} x)" if one else "" for one in amounts]
    return [*sizes, _requests(counted), as_median(rounds, "early"), as_median(rounds, "late")]


def _edited(counted: Figures, rounds: Sequence[Figures]) -> list[str]:
    many = EDITS / counted["saves"]
    amounts = [counted.get(figure) for figure in ("stored", "sent")]
    sizes = [f"{'~' if many > 1 else ''}{as_bytes(one * many)}" if one else "" for one in amounts]
    return [*sizes, _requests(counted), as_median(rounds, "save")]


def _loaded(counted: Figures, rounds: Sequence[Figures]) -> list[str]:
    multiples = [Spread.of(one["load"] / one[parser] for one in rounds if parser in one) for parser in PARSERS]
    slowest = [one["slowest"] for one in rounds if "slowest" in one]
    return [
        as_median(rounds, "load"),
        f"{max(slowest):.1f} ms" if slowest else "",
        *(f"{one.median:.1f}" if one else "" for one in multiples),
        _requests(counted),
    ]


def _old(counted: Figures, _: Sequence[Figures]) -> list[str]:
    times = [f"{counted[figure]:.1f} ms" for figure in ("load", "slowest")]
    return [*times, f"{counted['reads']} at most", _requests(counted)]


def _requests(counted: Figures) -> str:
    return as_requests(counted.get("asked", {}))
