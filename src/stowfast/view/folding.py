"""Messages as rows of a page. A result is folded under its call, in whichever message it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from stowfast.view.blocks import spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.records import MessageEntry
    from stowfast.view.blocks import MessagePart, Spoken

__all__ = ["FoldedResult", "Row", "rows_of"]


class FoldedResult(NamedTuple):
    """A result under its call. `alone`: nothing else is in its message, which has no row of its own then."""

    position: int
    block: MessagePart
    alone: bool


@dataclass
class Row:
    """A message of a page: the results of its calls, and its own blocks that stand under a call, each by its index."""

    entry: MessageEntry
    spoken: Spoken
    answers: dict[int, FoldedResult] = field(default_factory=dict)
    folded: set[int] = field(default_factory=set)


class _Spot(NamedTuple):
    row: Row
    block: int


def rows_of(entries: Sequence[MessageEntry], *, whole: bool = False) -> list[Row]:
    """Return messages as rows.

    A result belongs to the last call before it with its id and without a result. A result that was stored before its
    call belongs to the next one. The script of the page does the same with messages that come later.

    Args:
        entries: the messages, oldest first.
        whole: there are no older messages: no call of a result can be among them.
    """
    rows = [Row(entry, spoken(entry.message)) for entry in entries]
    pairs: list[tuple[_Spot, _Spot]] = []
    calls: dict[str, list[_Spot]] = {}
    early: dict[str, list[_Spot]] = {}
    for row in rows:
        for index, block in enumerate(row.spoken.blocks):
            here = _Spot(row, index)
            if not block.call_id:
                continue
            if block.kind == "call":
                if whole and early.get(block.call_id):
                    pairs.append((here, early[block.call_id].pop(0)))
                else:
                    calls.setdefault(block.call_id, []).append(here)
            elif block.kind == "result":
                if calls.get(block.call_id):
                    pairs.append((calls[block.call_id].pop(), here))
                else:
                    early.setdefault(block.call_id, []).append(here)
    for _, result in pairs:
        result.row.folded.add(result.block)
    named: set[int] = set()
    for call, (row, index) in pairs:
        position = row.entry.position
        alone = len(row.folded) == len(row.spoken.blocks) and position not in named
        named.add(position)
        call.row.answers[call.block] = FoldedResult(position, row.spoken.blocks[index], alone)
    return [row for row in rows if not row.spoken.blocks or len(row.folded) < len(row.spoken.blocks)]
