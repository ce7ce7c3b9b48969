"""One place under two names: two spellings of a path or of a URL, or two scopes of one backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.errors import InvalidError
from stowfast.scopes import outer_prefix
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.stores import Stores

__all__ = ["below"]

_NAMED: Final = {"SQLiteBackend", "ObjectBackend"}
"""The backends whose repr is their whole address, without links, final slashes and options."""


def below(source: Stores | str, ours: Backend, target: Stores | str, theirs: Backend) -> str:
    """Return the prefix of the streams of a source that lie at the target; empty if none do.

    Raises:
        InvalidError: source and target are one place.
    """
    one, other = _innermost(ours), _innermost(theirs)
    same = one is other or (
        type(one) is type(other)
        and repr(one) == repr(other)
        and (type(one).__name__ in _NAMED or _address(source) == _address(target) is not None)
    )
    outer, inner = outer_prefix(ours), outer_prefix(theirs)
    if not same or not inner.startswith(outer):
        return ""
    if inner == outer:
        raise InvalidError("source and target are one place: name a scope to copy into")
    return inner[len(outer) :]


def _innermost(backend: Backend) -> Backend:
    while isinstance(backend, Wrapper):
        backend = backend.backend
    return backend


def _address(place: Stores | str) -> str | None:
    """Return a URL without its options, if it names a place that others can open, too."""
    if not isinstance(place, str) or place.lower().startswith("memory:"):
        return None
    return place.partition("?")[0]
