"""One place under two names: two spellings of a path or of a URL, or two scopes of one backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

from stowfast.errors import InvalidError
from stowfast.scopes import outer_prefix
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.stores import Stores

__all__ = ["below"]

_NAMED: Final = {"SQLiteBackend", "ObjectBackend"}
"""The backends whose repr is their whole address, without links, final slashes and options."""


class Identified(Protocol):
    """An optional method of a backend: the place that it names, whatever the spelling of its URL."""

    async def place_id(self) -> str:
        """Return a text that two openings of one place share, and no other place has now."""
        ...


async def below(source: Stores | str, ours: Backend, target: Stores | str, theirs: Backend) -> str:
    """Return the prefix of the streams of a source that lie at the target; empty if none do.

    Raises:
        InvalidError: source and target are one place.
    """
    same = await _is_one(source, _innermost(ours), target, _innermost(theirs))
    outer, inner = outer_prefix(ours), outer_prefix(theirs)
    if not same or not inner.startswith(outer):
        return ""
    if inner == outer:
        raise InvalidError("source and target are one place: name a scope to copy into")
    return inner[len(outer) :]


async def _is_one(source: Stores | str, one: Backend, target: Stores | str, other: Backend) -> bool:
    if one is other or type(one) is not type(other):
        return one is other
    if hasattr(one, "place_id"):
        return await cast("Identified", one).place_id() == await cast("Identified", other).place_id()
    if repr(one) != repr(other):
        return False
    return type(one).__name__ in _NAMED or _address(source) == _address(target) is not None


def _innermost(backend: Backend) -> Backend:
    while isinstance(backend, Wrapper):
        backend = backend.backend
    return backend


def _address(place: Stores | str) -> str | None:
    """Return a URL without its options, if it names a place that others can open, too."""
    if not isinstance(place, str) or place.lower().startswith("memory:"):
        return None
    return place.partition("?")[0]
