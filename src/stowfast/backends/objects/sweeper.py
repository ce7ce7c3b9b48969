"""The sweep of a bucket: several streams at a time, then the indexes, and at last the old tombstones."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.abc import Swept
from stowfast.answers import side_by_side
from stowfast.backends.objects.protocol.index import tidy
from stowfast.backends.objects.protocol.keys import HEADS
from stowfast.backends.objects.protocol.sweep import SweepItem, survey, sweep_stream
from stowfast.backends.objects.protocol.tombstones import Tombstone, is_old, prove_removal, remove_tombstone
from stowfast.errors import StowfastError
from stowfast.operator_log import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast.backends.objects.driver.store import BucketClient
    from stowfast.backends.objects.protocol.keys import StreamKeys
    from stowfast.backends.objects.protocol.requests import Environment, Steps

__all__ = ["BucketSweeper"]

R = TypeVar("R")

_SWEEPERS: Final = 8


class BucketSweeper:
    """Sweeps a bucket. Blocking.

    Args:
        run: performs the protocol, from any number of threads.
        store: the bucket.
        note_change: told of each stream whose head may have been written, if the store has a pace.
        environment: clock, ids, chance and limits.
    """

    def __init__(
        self,
        run: Callable[[Steps[Any]], Any],
        store: BucketClient,
        note_change: Callable[[str], None],
        environment: Environment,
    ) -> None:
        self._run = run
        self._store = store
        self._note_change = note_change
        self._environment = environment

    def sweep(self, *, dry_run: bool) -> Swept:
        """Remove what nobody can reach, and tombstones after a week where the store lets us. Return the amounts.

        Raises:
            StowfastError: of the first stream that could not be swept, after the others.
        """
        found = self._run(survey())
        with ThreadPoolExecutor(_SWEEPERS, thread_name_prefix="stowfast-sweep") as threads:
            done = side_by_side(threads, partial(self._sweep_one, dry_run=dry_run), found.litter)
            if not dry_run:
                tidied = {folder for folder in found.folders if self._run(tidy(folder, self._environment))}
                # Until its index is tidied, a tombstone stays: without a head no later sweep would tidy that.
                self._end_tombstones([one for one in found.tombstones if _folder(one) in tidied], threads)
        # One stream that is damaged is no reason to leave the others unswept.
        for failed in done:
            if isinstance(failed, StowfastError):
                raise failed
        swept = [one for one in done if isinstance(one, Swept)]
        return Swept(*map(sum, zip(Swept(0, 0), *swept, strict=True)))

    def _sweep_one(self, one: SweepItem, *, dry_run: bool) -> Swept | StowfastError:
        try:
            swept: Swept = self._run(sweep_stream(one, self._environment, dry_run=dry_run))
        except StowfastError as error:
            return error
        else:
            return swept
        finally:
            self._note(one.place)

    def _note(self, place: StreamKeys) -> None:
        if self._store.pace and place.name is not None:
            self._note_change(place.name)

    def _end_tombstones(self, found: Sequence[Tombstone], threads: ThreadPoolExecutor) -> None:
        """Remove old tombstones, and log how many stay. An error fails no sweep: the next one looks again."""
        if not found:
            return
        remover = self._store.remover
        try:
            now = (self._environment.store_now or self._environment.now)()
        except StowfastError:
            return
        old = [one for one in found if is_old(one, now)]
        if not old:
            return
        removed = 0
        if remover is not None:
            remover.refusal = ""
            if self._run(prove_removal(self._environment)):
                removed = sum(side_by_side(threads, self._end, old))
        left = len(old) - removed
        why = "no request can carry the condition" if remover is None else remover.refusal
        tell(
            logging.INFO, "tombstones", f"a sweep removed {removed} tombstones and left {left}",
            removed=removed, left=left, reason=why if left else "",
        )  # fmt: skip

    def _end(self, one: Tombstone) -> bool:
        try:
            return bool(self._run(remove_tombstone(one)))
        except StowfastError:
            return False
        finally:
            self._note(one.place)


def _folder(one: Tombstone) -> str:
    return f"{HEADS}{one.place.kind}/"
