"""Removal of keys: many in one request if the store can do that, else one by one."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import obstore

from stowfast.errors import InvalidError, NotFoundError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    from obstore.store import ObjectStore as Driver

    from stowfast.counts import Counts

    R = TypeVar("R")

    class Repeat(Protocol):
        """Calls a function until there is an answer, or the time is up."""

        def __call__(self, operation: str, function: Callable[[], R]) -> R: ...


__all__ = ["Remover"]

_KEYS_TOGETHER: Final = 1_000


class Remover:
    """Removes keys. A missing key is fine.

    Args:
        driver: removes many at once.
        connect_single: makes a driver that removes keys one by one; called once, if needed.
    """

    def __init__(
        self, driver: Driver, connect_single: Callable[[], Driver], repeat: Repeat, counts: Counts
    ) -> None:  # fmt: skip
        self._bulk: Driver | None = driver
        self._single: Driver | None = None
        self._connect_single = connect_single
        self._repeat = repeat
        self._counts = counts

    def __call__(self, keys: list[str]) -> None:
        """Remove keys."""
        if not keys:
            return
        if self._bulk is not None:
            # A refusal may be that of a store which cannot remove many keys in one request. Any other comes again
            # below, and is said there.
            with suppress(InvalidError, UnsupportedError):
                self._remove(self._bulk, keys)
                return
        if self._single is None:
            self._single = self._connect_single()
        self._remove(self._single, keys)
        self._bulk = None

    def _remove(self, driver: Driver, keys: list[str]) -> None:
        operation = f"DELETE {keys[0]}{f' and {len(keys) - 1} more' if len(keys) > 1 else ''}"

        def delete() -> None:
            self._counts.request("DELETE", len(keys) if driver is self._single else -(-len(keys) // _KEYS_TOGETHER))
            obstore.delete(driver, keys)

        try:
            self._repeat(operation, delete)
        except NotFoundError:
            # On some stores a key that is not there is an error, with which the driver leaves the others.
            for key in keys:
                with suppress(NotFoundError):
                    self._repeat(f"DELETE {key}", partial(obstore.delete, driver, [key]))
