"""What callers saw, and nothing else: the promises that hold of it, whatever lies in the bucket.

Every entry is different, so a history tells which append an entry is of, and where it has to be.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from tests.simulator.bucket import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stowfast.abc import Receipt

__all__ = ["Append", "History", "Removal", "Seen"]


class Append(NamedTuple):
    """An append that was acknowledged."""

    name: str
    began: int
    ended: int
    receipt: Receipt
    values: tuple[bytes, ...]


class Removal(NamedTuple):
    """Positions that somebody has asked to remove, of whichever life."""

    name: str
    began: int
    low: int
    high: int


class Seen(NamedTuple):
    """A read of a whole stream."""

    name: str
    began: int
    ended: int
    incarnation: str | None
    first: int
    entries: Mapping[int, bytes]


class History:
    def __init__(self) -> None:
        self.appends: list[Append] = []
        self.removals: list[Removal] = []
        self.reads: list[Seen] = []
        self.expires: dict[str, int] = {}
        """The first step at which somebody asked that a stream should end by itself."""

    def check(self) -> None:
        """Raise a Violation where the history cannot be."""
        by_name: dict[str, list[Append]] = {}
        for append in self.appends:
            by_name.setdefault(append.name, []).append(append)
        for appends in by_name.values():
            self._check_order(appends)
        for read in self.reads:
            self._check_read(read, by_name.get(read.name, ()))

    @staticmethod
    def _check_order(appends: Sequence[Append]) -> None:
        taken: dict[tuple[str, int], bytes] = {}
        for append in appends:
            for position, value in enumerate(append.values, append.receipt.first):
                if taken.setdefault((append.receipt.incarnation, position), value) != value:
                    raise Violation(f"{append.name!r} gave position {position} twice")
        ends = sorted(appends, key=lambda append: append.ended)
        for append in appends:
            for earlier in ends:
                if earlier.ended >= append.began:
                    break
                same = earlier.receipt.incarnation == append.receipt.incarnation
                if same and earlier.receipt.next > append.receipt.first:
                    raise Violation(f"{append} was put before {earlier}, which was acknowledged before it began")

    def _check_read(self, read: Seen, appends: Sequence[Append]) -> None:
        values = list(read.entries.values())
        if len(set(values)) != len(values):
            raise Violation(f"{read.name!r} was read with an entry twice")
        if any(after <= before for before, after in pairwise(read.entries)):
            raise Violation(f"{read.name!r} was read out of order")
        removals = [one for one in self.removals if one.name == read.name and one.began <= read.ended]
        over = self.expires.get(read.name, read.ended + 1) <= read.ended
        whole = any(one.low == 0 and one.high > 2**60 for one in removals)
        for append in appends:
            if append.ended >= read.began:
                continue
            if append.receipt.incarnation != read.incarnation:
                # The life of the entry is over, or it has not begun for this reader: then somebody must have ended one.
                if not whole and not over:
                    raise Violation(f"{append} was acknowledged, and is not in the life that was read: {read}")
                continue
            for position, value in enumerate(append.values, append.receipt.first):
                found = read.entries.get(position)
                if found is None and any(one.low <= position < one.high for one in removals):
                    continue
                if found != value:
                    raise Violation(f"{append} was acknowledged before the read, which has {found!r} at {position}")
