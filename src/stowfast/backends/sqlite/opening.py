"""The checks before SQLite opens a file for good: it is ours, its log was made for it, and nobody holds a hidden log.

SQLite plays any log that lies beside a file, since a log does not name its file. A backup that is put over a file whose
log was left by a killed process would be damaged by that log. So a file of ours has a mark: a random number in the
schema cookie of its header (https://www.sqlite.org/fileformat2.html#schema_cookie), which is new each time the file is
opened while nobody else has it open. The first page is in every log, and with it the mark. A copy by SQLite's backup
interface has no mark: its cookie is the next one of the target's old content, a small number.

A log can also lose its name: somebody removes it while a process writes to it. The file itself then has a lock, and no
log beside it. An opening that waits in vain for that lock is refused.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import string
import time
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.sqlite.locks import COMPANIONS, check_index
from stowfast.backends.sqlite.schema import APPLICATION_ID
from stowfast.chance import uniform
from stowfast.errors import InvalidError, UnavailableError
from stowfast.first_use import imported
from stowfast.operator_log import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

__all__ = ["FileHeader", "begin_session", "check_log", "find_mark", "is_busy", "is_full", "look", "new_mark", "uri"]

_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "/._-")
"""The characters of a path that a URI writes as they are."""
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_LOWEST_MARK, _HIGHEST_MARK = 2**24, 2**30
_SCHEMA_CHANGES: Final = 2**16
"""The most changes of the schema, each of which adds one to the mark, between two looks at it."""
_LOG_MAGIC: Final = (0x377F0682, 0x377F0683)
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_SCHEMA_COOKIE: Final = 40
_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
"""https://www.sqlite.org/fileformat2.html#the_rollback_journal: the size of the file before comes at offset 16."""
_JOURNAL_HEADER_BYTES: Final = 28
_PAUSE_SECONDS: Final = 0.01
_LOOKS: Final = 20
_MAX_WAIT_SECONDS: Final = 10.0


class FileHeader(NamedTuple):
    """The header of a file of ours."""

    version: int
    mark: int


def new_mark() -> int:
    """Return a random mark."""
    return int(uniform(_LOWEST_MARK, _HIGHEST_MARK))


def uri(path: str, options: str) -> str:
    """Return a file as a URI for SQLite."""
    # The modules of `pathlib` take a tenth of the time of a first opening, and most paths need none of them.
    made = f"file://{path}" if _PLAIN.issuperset(path) else imported("pathlib", "Path")(path).as_uri()
    return f"{made}?{options}"


def look(path: str) -> FileHeader | None:
    """Read the header of a file, without its log, locks or any change; None: the file is absent or empty.

    Raises:
        InvalidError: the file is not one of ours.
    """
    try:
        if os.stat(path).st_size == 0:
            return None
    except FileNotFoundError:
        return None
    # By SQLite, though plain bytes would do: closing a descriptor of our own would drop the locks of this process.
    with closing(sqlite3.connect(uri(path, "mode=ro&immutable=1"), uri=True)) as file:
        try:
            file.execute(
                "PRAGMA writable_schema=ON"
            )  # a file cut short, in the middle of a checkpoint, has a header too
            names = ("application_id", "user_version", "schema_version")
            ours, version, mark = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_NOTADB:
                raise
            ours = version = mark = 0
    if ours != APPLICATION_ID:
        raise InvalidError(f"{path} is not a Stowfast file, and was left untouched: choose another name")
    return FileHeader(version, mark)


def check_log(path: str) -> None:
    """Raise if the log beside a file was not made for it.

    Raises:
        InvalidError: the log belongs to another file. Both were left untouched.
    """
    if _is_rolled_back(path):
        raise InvalidError(
            f"{path}-journal would empty {path}, and both were left untouched: a process was killed when it made a file"
            f" of this name; after the restore of a backup, remove {path}-journal, and open it again"
        )
    # More than one look: another process may just be giving the file a new mark.
    for _ in range(_LOOKS):
        header = look(path)
        if header is None or _fits(path, header.mark):
            return
        time.sleep(_PAUSE_SECONDS)
    raise InvalidError(
        f"{path}-wal was not made for {path}, and both were left untouched: after the restore of a backup,"
        f" remove {path}-wal and {path}-shm, and open it again; else bring back the file of this log"
    )


def _fits(path: str, mark: int) -> bool:
    marks = _marks_in_log(f"{path}-wal")
    empty = unmarked = True
    for found in marks:
        empty = False
        if found is None:
            continue
        if found - _SCHEMA_CHANGES <= mark <= found:
            return True
        unmarked = False
    return empty or (unmarked and mark >= _LOWEST_MARK)


def find_mark(path: str, marks: Collection[int], newest: Callable[[], int]) -> int | None:
    """Return the mark of a file if it is one of these, or a later one by changes of the schema; None if it is not.

    `newest` returns the mark that a connection sees: the file itself has no later one.
    """
    for _ in range(_LOOKS):  # it may just be written
        header, latest = None, newest()
        with suppress(InvalidError, sqlite3.DatabaseError):  # another file has none
            header = look(path)
        if header is not None and any(
            mark == header.mark or mark < header.mark <= min(latest, mark + _SCHEMA_CHANGES) for mark in marks
        ):
            return header.mark
        time.sleep(_PAUSE_SECONDS)
    return None


def _is_rolled_back(path: str) -> bool:
    # A journal of the first transaction takes all pages away: right for a file that has no rows yet, and for no other.
    try:
        with open(f"{path}-journal", "rb") as journal:
            header = journal.read(_JOURNAL_HEADER_BYTES)
    except FileNotFoundError:
        return False
    if header[:8] != _JOURNAL_MAGIC or header[16:20] != bytes(4):
        return False
    with closing(sqlite3.connect(uri(path, "mode=ro&immutable=1"), uri=True)) as file:
        try:
            return file.execute("SELECT 1 FROM streams LIMIT 1").fetchone() is not None
        except sqlite3.DatabaseError:  # only a part of it is written
            return False


def _marks_in_log(path: str) -> Iterator[int | None]:
    """Yield the mark in each frame of a log that SQLite would play; None for a frame without one."""
    try:
        log = open(path, "rb")  # noqa: SIM115 - a name that is no text; closed below
    except FileNotFoundError:
        return
    with log:
        header = log.read(_LOG_HEADER_BYTES)
        if len(header) < _LOG_HEADER_BYTES or int.from_bytes(header[:4]) not in _LOG_MAGIC:
            return
        page_bytes, salts = int.from_bytes(header[8:12]), header[16:24]
        for number in count():
            log.seek(_LOG_HEADER_BYTES + number * (_FRAME_HEADER_BYTES + page_bytes))
            frame = log.read(_FRAME_HEADER_BYTES + _SCHEMA_COOKIE + 4)
            if len(frame) < _FRAME_HEADER_BYTES + _SCHEMA_COOKIE + 4 or frame[8:16] != salts:
                return
            yield int.from_bytes(frame[-4:]) if int.from_bytes(frame[:4]) == 1 else None


def begin_session(path: str, timeout: float) -> None:
    """Give the file a new mark and fold its log, if nobody has it open; else see that those have a log with a name.

    Raises:
        UnavailableError: another process has the file open, and its log was removed; or the file of a process
            was moved away, and its log lies here.
    """
    deadline = time.monotonic() + min(timeout, _MAX_WAIT_SECONDS)
    log_bytes = _size_of(f"{path}-wal")
    while not _begin_alone(path):
        if all(os.path.exists(path + suffix) for suffix in COMPANIONS):
            return
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{path}: another process has it open or locked, and no log lies beside it: was {path}-wal removed?"
                " End that process first, in order: its last messages are in the log that only it can see"
            )
        time.sleep(uniform(0.1, 1.0) * _PAUSE_SECONDS)
    if log_bytes:
        text = "a process ended without closing the file: the log that it left was folded into it"
        tell(logging.WARNING, "recovered", text, log_bytes=log_bytes)


def _size_of(path: str) -> int:
    with suppress(OSError):
        return os.stat(path).st_size
    return 0


def _begin_alone(path: str) -> bool:
    with closing(sqlite3.connect(uri(path, "mode=rw"), uri=True, timeout=0, isolation_level=None)) as file:
        if hasattr(file, "setconfig"):  # from Python 3.12 on; some systems refuse a new cookie by default
            file.setconfig(getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE"), False)  # noqa: B009
        # First of all: it needs no index of the log, so none is made beside a hidden one. The next line reads the file.
        file.execute("PRAGMA locking_mode=EXCLUSIVE")
        try:
            file.execute("PRAGMA synchronous=NORMAL")  # syncs the log before it is folded, and the file after it
            file.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                return False
            raise
        check_index(path)
        # A file whose first transaction was killed is empty as soon as SQLite has rolled that back.
        if file.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
            with _unless_full():
                _renew_mark(file)
        if file.in_transaction:
            file.execute("ROLLBACK")
    return True


def _renew_mark(file: sqlite3.Connection) -> None:
    # The log gets the old mark too, with the first page as it is: until it is folded, the file has that one.
    file.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
    file.execute("COMMIT")
    file.execute(f"PRAGMA schema_version={new_mark():d}")
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _unless_full() -> Iterator[None]:
    """Go on where the disk is full: the file keeps its mark, and can be read."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if not is_full(error):
            raise


def is_full(error: BaseException | None) -> bool:
    """Return True if the disk is full."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def is_busy(error: sqlite3.Error) -> bool:
    """Return True if another connection has the lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
