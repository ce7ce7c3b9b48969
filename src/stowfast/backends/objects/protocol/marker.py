"""The marker: the object that says that a store begins at its prefix.

    {"format": 1, "id": "..."}

The first write to a store makes it. A sweep deletes nothing where there is none. By it a store that would lie inside
another one, or around one, is found when it is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.backends.objects.protocol.frames import MALFORMED
from stowfast.backends.objects.protocol.keys import MARKER
from stowfast.backends.objects.protocol.requests import ABSENT, Get, List, Pause, Put
from stowfast.errors import InvalidError, UnavailableError, UnsupportedError

if TYPE_CHECKING:
    from stowfast.backends.objects.protocol.requests import Environment, Steps

__all__ = ["find_inner", "read_marker", "write_marker"]

_FORMAT: Final = 1
_TRIES: Final = 5
_PAUSE: Final = 0.1
_LOOKED_AT: Final = 10_000
"""Number of keys among which the markers of inner stores are looked for: ten requests."""


class _Marker(msgspec.Struct):
    format: int
    id: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Marker).decode


def read_marker() -> Steps[bool]:
    """Say whether this store has its marker.

    Raises:
        InvalidError: another program's object has the key of the marker, or the marker is damaged.
        UnsupportedError: a newer version of Stowfast wrote it.
    """
    found = yield Get(MARKER)
    if found is None:
        return False
    try:
        marker = _decode(found.body)
    except MALFORMED:
        raise InvalidError(
            f"the object {MARKER} is not a marker of Stowfast: use another prefix. If a store is here and its marker "
            "is damaged, delete that object: the next write makes it anew, and nothing else is lost"
        ) from None
    if marker.format != _FORMAT:
        raise UnsupportedError(
            f"the store has format {marker.format}, and this Stowfast reads format {_FORMAT}: install a newer one, "
            f"unless the object {MARKER}, which says so, is damaged"
        )
    return True


def find_inner() -> Steps[str | None]:
    """Return the prefix of a store below this prefix, as far as the first 10,000 keys and these credentials show it."""
    try:
        items, _ = yield List("", enough=_LOOKED_AT)
    except InvalidError:  # or one of the keys of other programs cannot be listed
        return None
    ends = f"/{MARKER}"
    return next((item.key.removesuffix(ends) for item in items if item.key.endswith(ends)), None)


def write_marker(environment: Environment) -> Steps[None]:
    """Write the marker if there is none.

    Raises:
        UnavailableError: there was no answer.
    """
    for _ in range(_TRIES):
        if (yield Put(MARKER, _encode(_Marker(_FORMAT, environment.new_id())), ABSENT)) is not None:
            return
        # Another process was faster, or the answer was lost.
        if (yield from read_marker()):
            return
        yield Pause(_PAUSE)
    raise UnavailableError("the marker of this store was not written: nothing was stored")
