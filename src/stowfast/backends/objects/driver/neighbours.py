"""Other stores in the same bucket: none may lie inside another one."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from stowfast.backends.objects.protocol.marker import find_inner, read_marker
from stowfast.errors import InvalidError, UnsupportedError

if TYPE_CHECKING:
    from stowfast.backends.objects.driver.store import BucketClient

__all__ = ["check_alone"]


def check_alone(store: BucketClient) -> bool:
    """Return True if this store has its marker. If not, refuse a prefix inside another store, or around one.

    Raises:
        InvalidError: the error names the other store.
    """
    if store.run(read_marker()):
        return True
    for outer in store.around():
        with closing(outer):
            if _is_store(outer):
                raise InvalidError(f"{store.place.url} lies inside the store {outer.place.url}: {_REMEDY}")
    inner = store.run(find_inner())
    if inner is not None:
        raise InvalidError(f"{store.place.url} lies around the store {store.place.url}/{inner}: {_REMEDY}")
    return False


_REMEDY = "stores do not lie inside each other: correct the prefix, or use one beside it, or another bucket"


def _is_store(outer: BucketClient) -> bool:
    try:
        return outer.run(read_marker())
    except UnsupportedError:
        return True
    except InvalidError:  # these credentials may not read there, or another program's object has that key
        return False
