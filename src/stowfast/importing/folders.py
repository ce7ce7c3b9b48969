"""A folder of foreign files: only regular files of at most 64 MiB are read, and no link is followed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Folder"]


class Folder:
    """A folder, or one below it.

    Raises:
        InvalidError: it is no folder, or a link below the first folder.
    """

    def __init__(self, path: Path, *, name: str = "") -> None:
        self.name = name or str(path)
        self._path = path
        if (name and path.is_symlink()) or not path.is_dir():
            raise InvalidError(f"{self.name}: it is no folder; links are not followed")

    def below(self, *names: str) -> Folder:
        """Return a folder below this one."""
        found = self
        for name in names:
            found = Folder(found._path / name, name=f"{found.name}/{name}")
        return found

    def names(self, prefix: str, suffix: str = "") -> Iterator[str]:
        """Yield the parts between prefix and suffix of the names with both, in order of these parts."""
        try:
            there = os.listdir(self._path)
        except OSError as error:
            raise InvalidError(f"{self.name} cannot be read: {error.strerror}") from error
        found = (one for one in there if one.startswith(prefix) and one.endswith(suffix))
        yield from sorted(one[len(prefix) : len(one) - len(suffix)] for one in found)

    def has(self, name: str) -> bool:
        """Tell whether there is something of this name."""
        return os.path.lexists(self._path / name)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            InvalidError: there is none, or it is a link, no regular file, or over 64 MiB.
        """
        try:
            # Not blocking: a named pipe must not be waited for.
            descriptor = os.open(self._path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise InvalidError(f"{name} cannot be read: {error.strerror}; links are not followed") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidError(f"{name} is no regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_ENTRY_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(content) > MAX_ENTRY_BYTES:
            raise InvalidError(f"{name} has over {MAX_ENTRY_BYTES:,} bytes")
        return content
