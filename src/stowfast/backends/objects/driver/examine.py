"""The findings of `stowfast doctor` about an object store, line by line."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from stowfast.backends.objects.driver.probe import PROMISES, probe
from stowfast.backends.objects.driver.race import race
from stowfast.errors import StowfastError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast.backends.objects.driver.store import BucketClient

__all__ = ["Finding", "examine"]

Finding = tuple[str, bool | None, str]
"""A subject, its verdict (None: a remark), and a detail."""

_ROUNDS: Final = 50
_WRITERS: Final = 8


def examine(store: BucketClient, *, race_too: bool) -> Iterator[Finding]:
    """Run the checks of the self-test, even for a store that has passed it. Blocking, and leaves nothing behind.

    Args:
        store: a store after `self_test`, with its form of ETags set.
        race_too: also race eight writers for one key, a hundred times: some seconds, on Google minutes.
    """
    google = store.place.url.startswith("gs:")
    try:
        probed = store.run(probe(str(store.place), secrets.token_hex(8), strips=not google))
    except StowfastError as error:
        yield "keeps the conditions of a write", False, str(error)
        return
    for promise in PROMISES:
        yield promise, True, ""
    if store.bare_etags:
        yield "compares ETags without their quotes", None, "as Ceph 16 does; Stowfast sends them so"
    if probed.keeps_versions and not google:
        yield "keeps old versions", None, "let a lifecycle rule expire noncurrent versions: each commit leaves one"
    if race_too:
        yield _race(store)


def _race(store: BucketClient) -> Finding:
    sentence = f"lets exactly one of {_WRITERS} writers win, {2 * _ROUNDS} times"
    try:
        raced = store.run(race(secrets.token_hex(8), rounds=_ROUNDS, writers=_WRITERS, pace=store.pace))
    except StowfastError as error:
        return sentence, False, str(error)
    if raced.broken:
        return sentence, False, f"{len(raced.broken)} times not: {raced.broken[0]}"
    lost = f"{raced.unsaid} winners were not told, and found it by reading back" if raced.unsaid else ""
    return sentence, True, lost
