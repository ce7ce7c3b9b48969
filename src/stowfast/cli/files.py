"""Files of a command, read and written. A written file appears whole, and never in place of a database.

Source of the magic and of the names of companions: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from stowfast.cli.urls import sqlite_path
from stowfast.disk import sync_folder
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_device", "is_sqlite", "partial", "put_in_place", "reading", "refuse_itself", "target", "written_whole"]

_MAGIC: Final = b"SQLite format 3\0"
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
_STEM_BYTES: Final = 200
"""A file name has at most 255 bytes. The longest end of a temporary name takes 31."""


@contextmanager
def reading(path: Path, url: str) -> Iterator[IO[bytes]]:
    """Open a file to read, or stdin for `-`.

    Raises:
        InvalidError: it is the database of the URL.
    """
    if str(path) == "-":
        refuse_itself(sys.stdin.buffer, url)
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            refuse_itself(file, url)
            yield file


def refuse_itself(file: IO[bytes], url: str) -> None:
    """Refuse an open file, such as a redirected stdout, if it is the database of the URL or belongs to it.

    Raises:
        InvalidError: it is one of these files.
    """
    with suppress(OSError):  # a stream without a descriptor is no file
        if _belongs(os.fstat(file.fileno()), url):
            raise InvalidError(f"{shown_name(file)} is the database itself, or belongs to it: name another file")


def shown_name(file: IO[bytes]) -> str:
    """Return the name of an open file."""
    return {0: "stdin", 1: "stdout"}.get(file.fileno(), str(file.name))


def target(path: Path, url: str) -> Path:
    """Return the file behind a path, links resolved: it may be replaced or made. A pipe or a device stays as it is.

    Raises:
        InvalidError: its folder does not exist; it is a folder; it is a SQLite database or belongs to one; or it is a
            link of another user, unless the folder is that user's.
    """
    _refuse_planted(path)
    if is_device(path):  # as it is: /dev/stdout leads to a name that nothing can be opened by
        return path
    path = Path(os.path.realpath(path))  # a link stays a link, and the file behind it is replaced
    if not path.parent.is_dir():
        raise InvalidError(f"{path}: the folder {path.parent} does not exist: create it first")
    found = None
    with suppress(FileNotFoundError):
        found = path.stat()
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise InvalidError(f"{path} is a folder: name a file in it")
    # Compared before it is opened: closing a descriptor of a database drops the locks that this process has on it.
    own = found is not None and _belongs(found, url)
    base = next((Path(str(path)[: -len(end)]) for end in _COMPANIONS if path.name.endswith(end)), None)
    if own or is_sqlite(path) or (base is not None and (base == _database(url) or is_sqlite(base))):
        raise InvalidError(f"{path} is a SQLite database or belongs to one, and is not replaced: name another file")
    return path


@contextmanager
def written_whole(path: Path, url: str) -> Iterator[IO[bytes]]:
    """Open a file that appears whole or not at all; an earlier file stays until then, and its mode stays.

    Raises:
        InvalidError: as `target` does; or its folder may not be written to.
    """
    path = target(path, url)
    if is_device(path):
        with path.open("wb") as pipe:
            yield pipe
        return
    aside = path.with_name(f"{_stem(path)}.{secrets.token_hex(8)}.part")
    try:
        with _made(aside, path) as file:
            yield file
            put_in_place(file, aside, path, url)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def partial(path: Path, sha256: str) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open the partial file of a content, locked: the one left by an interrupted call beside `path`, or a new one.

    A file counts as left by an interrupted call if it has the name of one, belongs to this user, and is neither a link
    nor reached by a second name. Every other file stays as it is. The lock ends with the process.

    Raises:
        InvalidError: another process writes it; or the folder may not be written to.
    """
    begin = f"{_stem(path)}.{sha256[:16]}."
    pattern = re.compile(re.escape(begin) + r"[0-9a-f]{8}\.part")
    for name in sorted(os.listdir(path.parent)):
        part = path.with_name(name)
        if pattern.fullmatch(name) and (file := _left(part)) is not None:
            with file:
                if _lock(file, part):
                    yield part, file
                    return
    part = path.with_name(f"{begin}{secrets.token_hex(4)}.part")
    with _made(part, path) as file:
        _lock(file, part)
        yield part, file


def put_in_place(file: IO[bytes], aside: Path, path: Path, url: str) -> None:
    """Give a whole file its name, for good. It takes the owner and the mode of the replaced file.

    Raises:
        InvalidError: as `target` does, if the path has become a database since.
    """
    target(path, url)
    with suppress(FileNotFoundError):
        found = path.stat()
        with suppress(OSError):  # another owner is for root alone
            os.fchown(file.fileno(), found.st_uid, found.st_gid)
        with suppress(OSError):  # a file system without modes
            os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
    file.flush()
    os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def is_device(path: Path) -> bool:
    """Whether a path is a pipe or a device: it is written to, never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def is_sqlite(path: Path) -> bool:
    """Whether a file is a SQLite database. Never called for an open database of this process."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _refuse_planted(path: Path) -> None:
    # The rule of Linux for links in shared folders. It would not apply here: a file is renamed, and no link opened.
    with suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in {os.geteuid(), path.parent.stat().st_uid}:
            raise InvalidError(f"{path} is a link of another user: name another file")


def _database(url: str) -> Path | None:
    path = sqlite_path(url)
    return path and Path(os.path.realpath(path))


def _belongs(found: os.stat_result, url: str) -> bool:
    """Whether a file is the database of the URL or one of its companions, under any name."""
    path = _database(url)
    for own in [] if path is None else [path, *(Path(f"{path}{end}") for end in _COMPANIONS)]:
        with suppress(OSError):
            if os.path.samestat(own.stat(), found):
                return True
    return False


def _stem(path: Path) -> str:
    return os.fsdecode(os.fsencode(path.name)[:_STEM_BYTES])


def _made(aside: Path, path: Path) -> IO[bytes]:
    # A new file has the mode of any new file. One that replaces another is secret until it has the mode of that.
    mode = 0o600 if path.exists() else 0o666
    try:
        return os.fdopen(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "w+b")
    except OSError as error:
        raise InvalidError(f"{path}: no file can be made in {path.parent}: {error.strerror}") from None


def _left(part: Path) -> IO[bytes] | None:
    try:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK), "r+b")
    except OSError:
        return None  # a link, a pipe, or the file of another user
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1:
        return file
    file.close()
    return None


def _lock(file: IO[bytes], part: Path) -> bool:
    """Lock a partial file. False: its writer has finished meanwhile, and it is the whole file now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidError(f"{part} is being written by another process: wait, or name another file") from None
    try:
        return os.path.samestat(part.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
