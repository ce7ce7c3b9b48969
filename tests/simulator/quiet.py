"""What must be left in a bucket once nothing is under way any more, and it was swept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from stowfast.backends.objects.protocol.index import INDEXES, entries_of
from stowfast.backends.objects.protocol.keys import MARKER, is_blob, keys_at, keys_of
from tests.simulator.bucket import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulator.bucket import Bucket
    from tests.simulator.judge import Judge

__all__ = ["check_ended", "check_quiet"]

_VALUE: Final = re.compile(rb"<<[0-9a-f]+>>")


def check_quiet(bucket: Bucket, names: Sequence[str], judge: Judge) -> None:
    """Raise a Violation where something is left that nothing refers to, or a byte of what was removed."""
    heads = {keys_of(name).head: name for name in names}
    referred = {key for name in names for key in judge.referred(name)}
    living = set()
    for name in names:
        for kept in judge.snapshots[name][-1].entries.values():
            living.update(_VALUE.findall(kept.data))
    lost = judge.strangers - bucket.objects.keys()
    if lost:
        raise Violation(f"objects of others are gone: {lost}")
    for key, stored in bucket.objects.items():
        if key == MARKER or key in judge.strangers or key.startswith("probe/"):  # of a process that was killed
            continue
        if key in heads:
            body = stored.body
        elif key in referred:
            body = b"" if is_blob(key) else judge.bytes_of(key)
        elif _is_nameless(key, bucket):
            continue
        elif key.startswith(INDEXES):
            body = b"".join(line.header for line in entries_of(stored.body))
            e_tags = {key: there.token.e_tag for key, there in bucket.objects.items()}
            stale = [line.key for line in entries_of(stored.body) if e_tags.get(line.key) != line.e_tag]
            if stale:
                raise Violation(f"{key} has what the heads {stale} do not say any more")
        else:
            raise Violation(f"{key} is left, and nothing refers to it")
        removed = set(_VALUE.findall(body)) - living
        if removed:
            raise Violation(f"{key} has bytes of what was removed: {removed}")


def check_ended(bucket: Bucket, names: Sequence[str], judge: Judge) -> None:
    """Raise a Violation where a tombstone is left, more than a week later."""
    left = [name for name in names if keys_of(name).head in bucket.objects and judge.states[name].head is None]
    if left:
        raise Violation(f"the tombstones {left} are left")


def _is_nameless(key: str, bucket: Bucket) -> bool:
    """Say whether nothing tells whose data this is: the name is too long for a key, and has no head. A known limit."""
    place = keys_at(key)
    return place is not None and place.name is None and place.head not in bucket.objects
