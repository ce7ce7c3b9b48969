"""Scopes: one backend for many tenants, each behind a wall.

The streams of scope `tenant-1` have the names `tenant-1:messages/...`. No other kind of stream has a colon before its
first slash, and a scope's own name cannot hold a colon or a slash unquoted. So no id leads out of a scope, and the
prefix of one scope is never the beginning of another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import MAX_NAME_BYTES, Change, Query
from stowfast.errors import DamagedError, InvalidError, UnsupportedError
from stowfast.names import check_name
from stowfast.percent import unquote
from stowfast.wrappers import Prefixed, Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend, Swept

__all__ = ["ScopedBackend", "outer_prefix", "some_scopes", "split_name"]

_ROOM_BYTES: Final = 1_040
"""Bytes of a name that stay free below all scopes: the longest id with its kind."""
_PAGE: Final = 1_000


class ScopedBackend(Prefixed):
    """The part of a backend that belongs to one scope. It shows, changes and waits for no other stream.

    `close` closes this scope only.

    Args:
        backend: the backend, or a scope of it.
        scope: the name, such as the id of a tenant. Up to about 40 characters a bucket keeps the lists of scopes
            apart; longer names work, and their lists take longer.

    Raises:
        InvalidError: the name is empty or no text, or all scopes together have over 160 bytes.
    """

    bytes_used: int
    """Bytes of all scopes around a stream's name."""

    def __init__(self, backend: Backend, scope: str) -> None:
        check_name(scope, "the name of a scope")
        super().__init__(backend, f"{_quoted(scope)}:")
        self.in_place = backend.in_place
        outer = backend.bytes_used if isinstance(backend, ScopedBackend) else 0
        self.bytes_used = outer + len(self.prefix.encode())
        if self.bytes_used + _ROOM_BYTES > MAX_NAME_BYTES:
            raise InvalidError(
                f"the names of the scopes have {self.bytes_used} bytes together, the limit is "
                f"{MAX_NAME_BYTES - _ROOM_BYTES}: give a shorter name"
            )

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Refuse: a sweep looks at the whole store.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("a scope has no sweep: sweep the stores that it was made from, which covers all scopes")

    async def close(self) -> None:
        """Leave the backend open: it belongs to the stores that the scope was made from."""

    async def delete_all(self) -> int:
        """Delete every stream of this scope and of the scopes in it, and return their number.

        A stream that another process begins meanwhile may stay. After a lost answer call it again.

        Raises:
            DamagedError: a stream is too damaged to be deleted. All others are deleted.
        """
        count = 0
        while True:
            deleted, damage, after = 0, None, None
            while True:
                found, after = await self.streams(Query("", limit=_PAGE, after=after))
                for listed in found:
                    try:
                        await self.commit(listed.name, Change(delete=True))
                        deleted += 1
                    except DamagedError as error:
                        damage = error
                if after is None:
                    break
            count += deleted
            if deleted:
                continue  # until a whole listing has nothing more to delete
            if damage is not None:
                raise damage
            return count


def outer_prefix(backend: Backend) -> str:
    """Return the prefix of all scopes around a backend, as its names have it in the outermost one."""
    prefix = ""
    while isinstance(backend, Wrapper):
        prefix = (backend.prefix if isinstance(backend, Prefixed) else "") + prefix
        backend = backend.backend
    return prefix


def split_name(name: str) -> tuple[tuple[str, ...], str, str]:
    """Return the scopes around a stream, the outermost first, its kind and its id."""
    place, _, id = name.partition("/")
    *scopes, kind = place.split(":")
    return tuple(map(unquote, scopes)), kind, id


async def some_scopes(backend: Backend) -> list[str]:
    """Return names of scopes in a backend: of the first thousand streams, by one request. No list of all."""
    page = await backend.streams(Query("", limit=_PAGE))
    return sorted({scopes[0] for one in page.streams if (scopes := split_name(one.name)[0])})


def _quoted(scope: str) -> str:
    return scope.replace("%", "%25").replace("/", "%2F").replace(":", "%3A")
