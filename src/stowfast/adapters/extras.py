"""Frameworks are optional: an import that fails names the extra to install."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["extra"]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import a framework in this block. If it is missing or too old, the error names the extra.

    Raises:
        ImportError: the import failed. `pip install 'stowfast[name]'` installs a release that works.
    """
    try:
        yield
    except ImportError as error:
        reason = f"this adapter needs its framework: pip install -U 'stowfast[{name}]' ({error})"
        raise ImportError(reason, name=error.name, path=error.path) from error
