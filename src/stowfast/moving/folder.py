"""Generations in a folder: one SQLite file for each, with its moment as the name."""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from stowfast.disk import sync_folder
from stowfast.errors import NotFoundError
from stowfast.moving.archive import MOMENT, REST_SECONDS, SUFFIX, Generation, parsed, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

__all__ = ["FolderArchive"]

_PART: Final = ".generation-"
_WITHOUT_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of a file system without hard links, such as exFAT."""


class FolderArchive:
    """The generations of a folder. A file gets its name at the end, and is never changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self) -> list[Generation]:
        """Return the generations, the newest first."""
        found = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(ValueError, FileNotFoundError):
                found.append(Generation(parsed(path.stem), path.name, path.stat().st_size))
        return sorted(found, reverse=True)

    @contextmanager
    def part(self) -> Iterator[Path]:
        """Lend a hidden path in the folder. The folder is made if it is absent."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{_PART}{secrets.token_hex(8)}"
        try:
            yield part
        finally:
            for path in self._folder.glob(f"{part.name}*"):
                path.unlink(missing_ok=True)

    def write(self, part: Path, moment: datetime) -> Generation:
        """Give a file its name, or the next free one."""
        size = part.stat().st_size
        while True:
            made = Generation(moment, f"{stamp(moment)}{SUFFIX}", size)
            try:
                _name(part, self._folder / made.name)
            except FileExistsError:  # of another backup at the same time
                moment += MOMENT
            else:
                sync_folder(self._folder)
                return made

    @contextmanager
    def read(self, one: Generation) -> Iterator[Path]:
        """Lend the file itself."""
        path = self._folder / one.name
        if not path.exists():
            raise NotFoundError(f"the generation {one.name} was removed")
        yield path

    def delete(self, old: Sequence[Generation]) -> None:
        """Remove files, and the hidden ones of killed calls, a day later."""
        for one in old:
            (self._folder / one.name).unlink(missing_ok=True)
        for path in (*self._folder.glob(f"{_PART}*"), *self._folder.glob(f".{_PART}*.part*")):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > REST_SECONDS:
                    path.unlink()

    def close(self) -> None:
        """Do nothing."""


def _name(part: Path, path: Path) -> None:
    """Rename a file.

    Raises:
        FileExistsError: there is one of this name. It stays as it is, but on a file system without hard links.
    """
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        if path.exists():
            raise FileExistsError(path) from error
        os.replace(part, path)
    else:
        part.unlink()
