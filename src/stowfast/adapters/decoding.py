"""Stored values that a framework cannot read: another program wrote them, or a newer release of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from stowfast.errors import DamagedError, StowfastError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["decoding"]


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Make objects of a framework from stored values in this block. `name` says in an error where they are stored.

    Raises:
        DamagedError: one of them is none of this release of the framework.
    """
    try:
        yield
    except StowfastError:
        raise
    except Exception as error:  # each framework has errors of its own
        reason = f"{name}: a stored value is none of this release of the framework ({type(error).__name__}: {error})"
        raise DamagedError(reason) from error
