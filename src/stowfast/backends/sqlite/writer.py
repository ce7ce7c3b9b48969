"""Commits the works of concurrent callers: together in one transaction, or each alone after one of them failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stowfast.backends.sqlite.failures import failure_of
from stowfast.backends.sqlite.opening import is_full
from stowfast.backends.sqlite.transaction import Transaction
from stowfast.errors import ConflictError, InvalidError, StowfastError, UnavailableError
from stowfast.names import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.backends.sqlite.file import SQLiteFile
    from stowfast.backends.sqlite.notify import News

__all__ = ["Work", "Writer"]

Work = Callable[[Transaction], Any]


class Writer:
    """The write transactions of one opening."""

    def __init__(self, file: SQLiteFile, news: News) -> None:
        self._file = file
        self._news = news
        self._transaction = Transaction(file.writer)

    def take_garbage(self) -> bool:
        """Return True, once, after a change with garbage."""
        left = self._transaction.removal.left_garbage
        self._transaction.removal.left_garbage = False
        return left

    def run(self, works: Sequence[Work], wait: bool) -> list[Any] | None:
        """Commit works, and return the result or the StowfastError of each: the `run` of a `GroupCommit`."""
        self._file.check_writable()
        if self._file.log.is_due(self._transaction.pages):
            # Folding the log back into the file costs milliseconds: never on an event loop.
            if not wait:
                return None
            self._file.check_place()  # a file that was written over takes no pages of this log
            with self._file.errors():
                self._file.log.fold()
            self._transaction.pages = 0
        try:
            outcomes = self._attempt(works, wait=wait)
        except UnavailableError as error:
            if not self._file.make_room(error):
                raise
            outcomes = self._attempt(works, wait=wait)
        if outcomes is None:
            return None
        if len(outcomes) < len(works):
            # One of them spoiled the transaction, by damage in its stream for example, and nothing is stored. So each
            # has a transaction of its own, that nobody suffers from what belongs to another.
            if not wait:
                return None
            outcomes = self._attempt_each(works)
        # After the commit: only then it is known that the log had a name when it took these changes.
        self._file.check_place()
        changed = self._transaction.changed
        self._news.announce(changed)
        changed.clear()
        return outcomes

    def _attempt(self, works: Sequence[Work], *, wait: bool) -> list[Any] | None:
        """Do the works in one transaction, and return their outcomes; fewer if one failed among others: none is stored.

        None: another process is writing, and `wait` is False.
        """
        outcomes: list[Any] = []
        if self._file.writer.in_transaction:  # an interrupt came before its end: what it remembers was never committed
            self._transaction.forget()
        try:
            with self._file.errors():
                if not self._file.begin(wait=wait):
                    return None
                # Under the lock: a commit that waited for another one is later than that one.
                self._transaction.now = clock()
                for work in works:
                    try:
                        outcomes.append(work(self._transaction))
                    except (ConflictError, InvalidError) as error:  # they come before anything is written
                        outcomes.append(error)
                    except Exception as error:
                        if is_full(error):
                            raise
                        self._transaction.forget()
                        self._file.roll_back()
                        return [failure_of(self._file.path, error)] if len(works) == 1 else []
                self._file.commit()
        except BaseException:
            self._transaction.forget()
            self._file.roll_back()
            raise
        return outcomes

    def _attempt_each(self, works: Sequence[Work]) -> list[Any]:
        outcomes: list[Any] = []
        try:
            for work in works:
                outcomes += self._attempt([work], wait=True) or ()
        except StowfastError as error:  # no work's own: the lock, or the disk
            outcomes += [error] * (len(works) - len(outcomes))
        return outcomes
