"""Performs the requests of the protocol over obstore, blocking, from any number of threads.

Never through obstore's async side: a script that has used it may abort while the interpreter exits.
"""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

import obstore

from stowfast.answers import side_by_side
from stowfast.backends.objects.driver.conditional import ConditionalRemover
from stowfast.backends.objects.driver.failures import FAILURES, Address, unconditional
from stowfast.backends.objects.driver.reading import Reader, token_of
from stowfast.backends.objects.driver.removal import Remover
from stowfast.backends.objects.protocol.requests import (
    ABSENT,
    ANY,
    All,
    Delete,
    Get,
    List,
    Pause,
    Put,
    Remove,
    Request,
    Steps,
    Token,
    drive,
)
from stowfast.blocking import Flag
from stowfast.counts import Counts
from stowfast.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    StowfastError,
    UnavailableError,
    UnsupportedError,
)
from stowfast.operator_log import tell, tell_repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore import PutResult
    from obstore.store import S3Store

    from stowfast.backends.objects.driver.service import Connect

__all__ = ["PART", "BucketClient", "requests_of"]

R = TypeVar("R")

PART: Final = 8 * 2**20
"""Bytes sent in one request where a larger object is uploaded in parts. Ten thousand parts make 80 GiB."""

_SIDE_BY_SIDE: Final = 32
_PARTS_AT_ONCE: Final = 3
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_ONCE: Final = timedelta(0)
_LONGEST_CONDITIONAL: Final = 10.0


class BucketClient:
    """A bucket, or the part below a prefix. Keys are relative to the prefix.

    Every method blocks and may be called from several threads at once.

    Args:
        place: the address, for errors.
        connect: makes a driver.
        timeout: about the seconds until a repeatable request has failed. A conditional PUT has a third of it, at most
            10. The body of a GET may take a second more for each 128 KiB.
        storage_class: of immutable objects. Heads keep the bucket's default.
        pace: minimum seconds between two changes of one key.
        linger: seconds for which a change of a key waits for others of this process.
        anonymous: there are no credentials.
        read_only: refuse to write and to delete.
        removes: a signed URL is enough for a DELETE under a condition.
        bundle: path of certificates to trust beside the system's.
        around: returns clients for the prefixes around this one, the bucket itself first. The caller closes them.
    """

    def __init__(
        self,
        place: Address,
        connect: Connect,
        *,
        timeout: float = 30.0,
        storage_class: str | None = None,
        pace: float = 0.0,
        linger: float = 0.0,
        anonymous: bool = False,
        read_only: bool = False,
        removes: bool = False,
        bundle: str | None = None,
        around: Callable[[], Iterator[BucketClient]] = lambda: iter(()),
    ) -> None:
        self.place = place
        self.pace = pace
        self.linger = linger
        self.read_only = read_only
        self.around = around
        self.bare_etags = False
        """This store compares ETags without their quotes (Ceph 16 does). The self-test finds out."""
        self._attributes = {"Storage-Class": storage_class} if storage_class else None
        self._anonymous = anonymous
        self.counts = Counts()
        self._timeout = timeout
        self._connect = connect
        patience = timedelta(seconds=timeout / 3)
        # The driver repeats after a 5xx also what may have been done, and then its own write comes back as a conflict.
        # So what is conditional goes through one that never repeats.
        self._once = connect(_ONCE, min(patience, timedelta(seconds=_LONGEST_CONDITIONAL)))
        self._patient = connect(patience, patience)
        self.reader = Reader(
            place, self._patient, timeout, self.repeat, self._form, self.check_open, counts=self.counts
        )
        self._remove = Remover(
            self._patient, lambda: connect(patience, patience, single=True), self.repeat, self.counts
        )
        self.remover: ConditionalRemover | None = None
        """None: this place has no DELETE under a condition."""
        if removes:
            self.remover = ConditionalRemover(
                lambda key, expires: self.sign(key, expires, "DELETE"), self._form,
                timeout=min(timeout / 3, _LONGEST_CONDITIONAL), bundle=bundle,
            )  # fmt: skip
        self._threads = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="stowfast-object")
        self._process = os.getpid()
        self._closed = Flag()

    def __repr__(self) -> str:
        return f"<BucketClient {self.place}>"

    def run(self, steps: Steps[R]) -> R:
        """Perform the requests of the steps, and return their result."""
        return drive(steps, self.perform)

    def perform(self, request: Request) -> Any:
        """Perform one request and return its result, as `requests` describes it.

        Raises:
            UnavailableError: no answer, after repeats for `timeout` seconds.
            InvalidError: access is denied, there is no such bucket, or this was closed, or opened for reading only.
                Never for a failed condition.
            UnsupportedError: the store cannot do that.
        """
        self.check_open()
        match request:
            case Get():
                return self.reader.get(request)
            case Put(condition=condition):
                self.check_writable()
                return self._put(request) if condition is ANY else self._put_once(request)
            case Delete():
                self.check_writable()
                return self._remove(list(request.keys))
            case Remove(key=key, token=token):
                self.check_writable()
                self.counts.request("DELETE")
                return self.remover(key, token.e_tag) if self.remover is not None else None
            case List():
                return self.repeat(f"LIST {request.prefix}", lambda: self.reader.list(request))
            case Pause():
                with self.counts.waiting():
                    closed = self._closed.wait(request.seconds)
                if closed:
                    self.check_open()
                return None
            case All():
                return self._all(request)

    def close(self) -> None:
        """Finish the running requests, and end all pauses. A second close does nothing."""
        if self.is_forked:  # all is the parent's, and a thread of it may hold the lock of the flag
            return
        self._closed.set()
        self._threads.shutdown(wait=True)

    @property
    def is_forked(self) -> bool:
        """This process is a child of the one that opened the store."""
        return os.getpid() != self._process

    def check_open(self) -> None:
        """Raise after a close or a fork: the driver's threads do not survive a fork, and would never answer."""
        if self.is_forked:
            raise InvalidError(
                f"{self.place} was opened before this process was forked, and the driver's threads do not come through "
                "a fork: start processes with spawn or forkserver, and open it there"
            )
        if self._closed.is_set():
            raise InvalidError(f"{self.place} was closed: open it again")

    def check_writable(self) -> None:
        """Raise if this was opened for reading only."""
        if self.read_only:
            raise InvalidError(f"{self.place} was opened for reading only: open it without read_only=true to write")

    def repeat(self, operation: str, function: Callable[[], R]) -> R:
        """Repeat an idempotent call of the driver until there is an answer or the time is up."""
        began = time.monotonic()
        pause, attempts = _FIRST_PAUSE, 1
        while True:
            try:
                found = function()
                if attempts > 1:
                    tell_repeat(attempts, time.monotonic() - began)
                return found
            except UnavailableError as error:
                ours: StowfastError = error
            except FAILURES as error:
                ours = unconditional(self.place.explain(error, operation))
            if not isinstance(ours, UnavailableError) or time.monotonic() + pause > began + self._timeout * 2 / 3:
                # Outside of the handler, so that the driver's own text is not the context of ours.
                raise ours
            self.counts.lose_answer()
            attempts += 1
            with self.counts.waiting():
                self._closed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def parts(self, key: str) -> obstore.WritableFile:
        """Return the driver's writer of a large object: nothing is visible before its end. Raises its own errors."""
        return obstore.open_writer(
            self._patient, key, attributes=self._attributes, buffer_size=PART, max_concurrency=_PARTS_AT_ONCE
        )

    def sign(self, key: str, expires: timedelta, method: Literal["GET", "DELETE"] = "GET") -> str:
        """Return a URL with which anyone can GET or DELETE a key until it expires. Sends no request.

        Raises:
            UnsupportedError: there are no credentials, or none that can sign.
        """
        if self._anonymous:
            raise UnsupportedError(f"{self.place}: anonymous=true has nothing to sign a link with: give credentials")
        try:
            return obstore.sign(cast("S3Store", self._patient), method, key, expires)
        except FAILURES as error:
            ours, unable = self.place.explain(error, f"signing {key}"), "not supported" in str(error)
        if unable:
            raise UnsupportedError(f"{self.place}: these credentials cannot sign a link: {ours.__cause__}") from ours
        raise ours

    def _put(self, request: Put) -> Token:
        def put() -> PutResult:
            self.counts.request("PUT", requests_of(len(request.body)))
            return obstore.put(
                self._patient,
                request.key,
                request.body,
                attributes=self._attributes,
                chunk_size=PART,
                max_concurrency=_PARTS_AT_ONCE,
            )

        return token_of(self.repeat(f"PUT {request.key}", put))

    def _put_once(self, request: Put) -> Token | None:
        condition = request.condition
        if isinstance(condition, Token):
            token = {"e_tag": self._form(condition.e_tag), "version": condition.version}
            mode: Any = {name: value for name, value in token.items() if value is not None}
            if not mode:
                raise InvalidError(f"{self.place}: PUT {request.key}: this token is that of no content")
        else:
            assert condition is ABSENT
            mode = "create"
        self.counts.request("PUT")
        try:
            return token_of(obstore.put(self._once, request.key, request.body, mode=mode))
        except FAILURES as error:
            ours = self.place.explain(error, f"PUT {request.key}")
        if isinstance(ours, UnavailableError):
            self.counts.lose_answer()
            tell(logging.WARNING, "answer_lost", "a PUT had no answer: the head is read to see if it was stored")
        if isinstance(ours, UnavailableError | ConflictError | NotFoundError):
            return None
        raise ours

    def _form(self, e_tag: str | None) -> str | None:
        return e_tag.strip('"') if e_tag is not None and self.bare_etags else e_tag

    def _all(self, request: All) -> list[Any]:
        if len(request.requests) == 1:
            return [self.perform(request.requests[0])]
        return side_by_side(self._threads, self.perform, request.requests)


def requests_of(size: int) -> int:
    """Return the requests of an upload: one, or one for each part with one to begin and one to end it."""
    return 1 if size <= PART else -(-size // PART) + 2
