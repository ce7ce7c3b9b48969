"""The tables, for people: what the history of a task takes, what a save and a load cost, and at the end the bars."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

from bench.bars import Bar, Spread
from bench.table import bar_row, print_table
from bench.tasks.rounds import CONTENDERS, OURS
from bench.tasks.workloads import EDITS, KINDS, STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.rounds import Figures
    from bench.tasks.rounds import Found

__all__ = ["bars", "show"]

STORED: Final = 12
"""Megabytes of a thousand versions, and as many may be sent."""
GROWN: Final = 4
PARSED: Final = 8
READS: Final = 2
PARSERS: Final = ("json", "msgspec")
WHERE: Final = {"stowfast_sqlite": "SQLite", "stowfast_s3": "bucket"}

NOTES = """\
Sent: bytes of all bodies that went to the bucket, the upkeep behind the saves included. ~: that many saves of a peer
were not made; what it had stored and sent after a part of them is multiplied. Who loads has opened the place before,
and nothing in memory; "json.loads" and "msgspec" are the time of such a load as a multiple of parsing its plain JSON.
Requests are a save's or a load's. Times are medians over the rounds. LangGraph's savers are as they come: its
DeltaChannel, in beta, and the compression of the saver for buckets have to be asked for. bench/README.md says more.
"""


def bars(found: Found) -> list[Bar]:
    """Judge the run."""
    judged = []
    for name in OURS:
        grown = found.grown[name]
        size = Spread.of([grown["stored"] / grown["size"]] if "stored" in grown else [])
        judged.append(Bar.at_most(f"{STEPS} steps, stored / final size", GROWN, " x", size, WHERE[name]))
    for kind in KINDS:
        for figure in ("stored", "sent"):
            for name in OURS:
                if figure == "sent" and name == "stowfast_sqlite":
                    continue
                edited = found.edited[kind][name]
                amount = Spread.of([edited[figure] / 1e6] if figure in edited else [])
                promise = f"{EDITS:,} saves of a megabyte, {kind}, {figure}"
                judged.append(Bar.at_most(promise, STORED, " MB", amount, WHERE[name]))
        for name in OURS:
            turns = [one for one in found.turns[kind][name] if "load" in one]
            parsed = Spread.of(one["load"] / one["json"] for one in turns)
            judged.append(Bar.at_most(f"load of its newest, {kind} / json.loads", PARSED, " x", parsed, WHERE[name]))
        for name in OURS:
            reads = Spread.of([found.old[kind][name]["reads"]] if "reads" in found.old[kind][name] else [])
            judged.append(Bar.at_most(f"any version of it, {kind}, reads", READS, "", reads, WHERE[name]))
    return judged


def show(judged: Sequence[Bar], found: Found) -> None:
    """Print everything."""
    size = next((one["size"] for one in found.grown.values() if "size" in one), 0)
    print_table(
        f"{STEPS} steps of a conversation that has {_bytes(size)} in the end, all of it saved at each",
        ("", "stored", "sent", "requests", "step 10", f"step {STEPS}"),
        _rows(found.grown, lambda name: _grown(found.grown[name], found.grows[name])),
    )
    for kind in KINDS:
        edited, turns, loaded = found.edited[kind], found.turns[kind], found.loaded[kind]
        size = next((one["size"] for one in edited.values() if "size" in one), 0)
        print_table(
            f"{EDITS:,} saves of a state of {_bytes(size)}, of which 1 kB changes each time: {kind}",
            ("", "stored", "sent", "requests", "save"),
            _rows(edited, lambda name, edited=edited, turns=turns: _edited(edited[name], turns[name])),
        )
        print_table(
            "The newest of them, loaded",
            ("", "load", "slowest", "json.loads x", "msgspec x", "requests"),
            _rows(loaded, lambda name, loaded=loaded, turns=turns: _loaded(loaded[name], turns[name])),
        )
        print_table(
            "Any of them, loaded",
            ("", "load", "slowest", "reads", "requests"),
            _rows(found.old[kind], lambda name, old=found.old[kind]: _old(old[name])),
        )
    for complaint in found.complaints:
        print(complaint)
    print(NOTES)
    print_table("Bars of task states", ("", "target", "measured", "", ""), [bar_row(bar) for bar in judged])


def _rows(counted: dict[str, Figures], line: Callable[[str], list[str]]) -> list[list[str]]:
    return [[CONTENDERS[name], *(["failed"] if "error" in one else line(name))] for name, one in counted.items()]


def _grown(counted: Figures, rounds: Iterable[Figures]) -> list[str]:
    amounts = [counted.get(figure) for figure in ("stored", "sent")]
    return [
        *(f"{_bytes(one)} ({one / counted['size']:.1f} x)" if one else "" for one in amounts),
        _requests(counted),
        _time(rounds, "early"),
        _time(rounds, "late"),
    ]


def _edited(counted: Figures, rounds: Iterable[Figures]) -> list[str]:
    many = EDITS / counted["saves"]
    about = "~" if many > 1 else ""
    amounts = [counted.get(figure) for figure in ("stored", "sent")]
    return [
        *(f"{about}{_bytes(one * many)}" if one else "" for one in amounts),
        _requests(counted),
        _time(rounds, "save"),
    ]


def _loaded(counted: Figures, rounds: Sequence[Figures]) -> list[str]:
    multiples = [Spread.of(one["load"] / one[parser] for one in rounds if parser in one) for parser in PARSERS]
    slowest = [one["slowest"] for one in rounds if "slowest" in one]
    return [
        _time(rounds, "load"),
        f"{max(slowest):.1f} ms" if slowest else "",
        *(f"{one.median:.1f}" if one else "" for one in multiples),
        _requests(counted),
    ]


def _old(counted: Figures) -> list[str]:
    times = [f"{counted[figure]:.1f} ms" for figure in ("load", "slowest")]
    return [*times, f"{counted['reads']} at most", _requests(counted)]


def _requests(counted: Figures) -> str:
    asked: dict[str, Any] = counted.get("asked", {})
    return " ".join(f"{_count(count)} {kind}" for kind, count in sorted(asked.items()) if count >= 0.005)


def _count(count: float) -> str:
    return f"{count:.2f}".rstrip("0").rstrip(".")


def _time(rounds: Iterable[Figures], figure: str) -> str:
    times = [one[figure] for one in rounds if figure in one]
    return f"{median(times):.1f} ms" if times else ""


def _bytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"
