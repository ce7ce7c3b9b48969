"""The end of tombstones: a week after a stream was deleted, its head is removed, on the condition of its token.

A tombstone keeps requests from before the deletion from bringing the stream back. After a week none of them can arrive,
and no process decides by a head seen more than a day ago. An unconditional removal could take a head written meanwhile.
So nothing is removed before the store has proved, on objects of our own, that it keeps the condition.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.requests import ABSENT, All, Delete, Get, Pause, Put, Remove
from stowfast.backends.objects.protocol.state import GONE, decode_header
from stowfast.errors import DamagedError, StowfastError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.backends.objects.protocol.keys import StreamKeys
    from stowfast.backends.objects.protocol.requests import Environment, Item, Object, Steps, Token

__all__ = ["TOMBSTONES_LIVE", "Tombstone", "is_old", "prove_removal", "remove_tombstone"]

TOMBSTONES_LIVE: Final = 7 * 86_400 * 1_000_000
"""Microseconds by the clock of the store, as in SQLite and PostgreSQL."""

_PROBES: Final = 4
"""Keys of a proof. On each a removal also races a write."""


class Tombstone(NamedTuple):
    """A head listed with the size of a tombstone, while nothing lay in the folder of its stream."""

    place: StreamKeys
    item: Item


def is_old(found: Tombstone, now: int) -> bool:
    """Say whether a tombstone has lived for a week. `now` is the time of the store."""
    return found.item.size % 4 == GONE and found.item.modified + TOMBSTONES_LIVE < now


def remove_tombstone(found: Tombstone) -> Steps[bool]:
    """Remove an old tombstone, unless its key has other content by now. True: the store has said so.

    Its grave may name files: they are gone, as nothing lay in the folder. Without an answer the next sweep looks again.
    An undecodable head stays: it may be no tombstone.
    """
    head: Object | None = yield Get(found.place.head, fresh=True)
    if head is None or not _is_same(found.item.e_tag, head.token.e_tag):
        return False
    try:
        state = decode_header(None, head.body, head.token, head.size)
    except (DamagedError, UnsupportedError):
        return False
    if state is None or state.head is not None or keys_of(state.name) != found.place:
        return False
    return (yield Remove(found.place.head, head.token)) is True


def prove_removal(environment: Environment) -> Steps[bool]:
    """Prove that the store removes a key only while it has the content of a token. Leaves nothing behind.

    False: it ignores the condition, cannot remove so, or gave no answer. The proof holds for one sweep.
    """
    unique = environment.new_id()
    keys = [f"probe/{unique}-{number}" for number in range(_PROBES)]
    try:
        proved = yield from _prove(unique, keys, environment.pace)
    except StowfastError:
        proved = False
    with suppress(StowfastError):
        yield Delete(tuple(keys))
    return proved


def _prove(unique: str, keys: Sequence[str], pace: float) -> Steps[bool]:
    first: list[Token | None] = yield All([Put(key, f"{unique} 1".encode(), ABSENT) for key in keys])
    yield Pause(pace)
    before = [token for token in first if token is not None]
    if len(before) < len(keys):
        return False
    written = yield All([Put(key, f"{unique} 2".encode(), token) for key, token in zip(keys, before, strict=True)])
    yield Pause(pace)
    tokens = [token for token in written if token is not None]
    # The token of the content before: a store that ignores it removes the key here, and proves the opposite.
    if len(tokens) < len(keys) or not (yield from _spares(keys, before)):
        return False
    raced = yield from _race(unique, keys, tokens)
    yield Pause(pace)
    if not raced:
        return False
    # What is gone can be created again, and the removal of what was there before does not take it.
    again = yield All([Put(key, f"{unique} 4".encode(), ABSENT) for key in keys])
    yield Pause(pace)
    return all(again) and (yield from _spares(keys, tokens))


def _spares(keys: Sequence[str], tokens: Sequence[Token]) -> Steps[bool]:
    """Say whether keys are there after removals under tokens of earlier content."""
    removed = yield All([Remove(key, token) for key, token in zip(keys, tokens, strict=True)])
    found = yield All([Get(key) for key in keys])
    return not any(removed) and None not in found


def _race(unique: str, keys: Sequence[str], tokens: Sequence[Token]) -> Steps[bool]:
    """Let a write and a removal race on each key; afterwards remove what is there. At most one of two may win."""
    body = f"{unique} 3".encode()
    rivals: list[Put | Remove] = []
    for key, token in zip(keys, tokens, strict=True):
        rivals += (Put(key, body, token), Remove(key, token))
    told = yield All(rivals)
    found: list[Object | None] = yield All([Get(key) for key in keys])
    for written, removed, there in zip(told[::2], told[1::2], found, strict=True):
        if (removed and there is not None) or (written is not None and (there is None or there.body != body)):
            return False
    left = [Remove(key, there.token) for key, there in zip(keys, found, strict=True) if there is not None]
    gone = (yield All(left)) if left else []
    return all(gone) and not any((yield All([Get(key) for key in keys])))


def _is_same(listed: str | None, read: str | None) -> bool:
    # Azure lists an ETag without the quotes with which it is read.
    return listed is not None and read is not None and listed.strip('"') == read.strip('"')
