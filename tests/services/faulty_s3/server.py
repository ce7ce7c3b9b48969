"""An S3 server in memory that fails on order, for tests: `with FaultyS3() as server`.

It speaks as much of S3 as obstore and boto3 need, path style. It checks no signature, but refuses an expired link. It
answers as Amazon's does, unless `quirks` say otherwise, and remembers each request and each body that it was sent. As a
process of its own it remembers nothing and prints its endpoint:
`python -m tests.services.faulty_s3.server PORT --chaos SEED PROBABILITY`.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stowfast.backends.objects.driver import probe
from tests.services.faulty_s3.bucket import Bucket, Quirks
from tests.services.faulty_s3.faults import HONEST, Chaos, Fault, Rule, Strike
from tests.services.faulty_s3.listener import Listener, drip, reset_when_closed, send, wait_until_given_up
from tests.services.faulty_s3.operations import perform
from tests.services.faulty_s3.wire import Answer, Record, Request

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Collection, Iterator
    from types import TracebackType
    from typing import Self

__all__ = ["HONEST", "Fault", "FaultyS3", "Quirks", "Record", "Rule"]


@dataclass
class _Late:
    request: Request
    record: Record
    due: float
    """The number of requests before its effect."""


class FaultyS3:
    """The server, from entering to leaving. Port 0 is a free one. It begins with one bucket."""

    def __init__(
        self,
        quirks: Quirks | None = None,
        *,
        port: int = 0,
        bucket: str = "bucket",
        clock: Callable[[], float] = time.time,
        latency: float = 0.0,
        remembers: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.quirks = quirks or Quirks()
        self.bucket = bucket
        self.latency = latency
        """Seconds each request takes longer. It, as the quirks, may be changed at any time."""
        self.requests: list[Record] = []
        self._remembers = remembers
        self._new_bucket: Callable[[], Bucket] = lambda: Bucket(self.quirks, clock, remembers=remembers)
        self._buckets = {bucket: self._new_bucket()}
        self._lock = threading.Lock()
        self._number = 0
        self._counting: list[list[Record]] = []
        self._rules: list[Rule] = []
        self._chaos: list[Chaos] = []
        self._late: list[_Late] = []
        self._held: list[threading.Event] = []
        self._closing = False
        self._listener = Listener(port, self._serve, tls)
        self.port = self._listener.port
        self.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listener.start()
        # A port may be given again, to a server that takes ETags in another form than the one that had it before.
        for place in [place for place in probe._passed if self.endpoint in place]:
            del probe._passed[place]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closing = True
            self._late.clear()
        self.release()
        self._listener.close()

    @property
    def objects(self) -> dict[str, bytes]:
        """The stored bodies of the first bucket."""
        with self._lock:
            return {key: stored.body for key, stored in self._buckets[self.bucket].current.items()}

    def put(self, key: str, body: bytes) -> None:
        """Store a body there without a request: to prepare a scene, or to spoil one."""
        with self._lock:
            self._buckets[self.bucket].put(key, body)

    def delete(self, key: str) -> None:
        """Take a key away from there without a request."""
        with self._lock:
            self._buckets[self.bucket].delete(key)

    @property
    def history(self) -> dict[str, list[bytes]]:
        """Every body ever stored under each key there."""
        with self._lock:
            return {key: list(bodies) for key, bodies in self._buckets[self.bucket].history.items()}

    @property
    def uploads(self) -> list[str]:
        """The keys of the open multipart uploads there."""
        with self._lock:
            return [upload.key for upload in self._buckets[self.bucket].uploads.values()]

    def holding(self, content: bytes) -> list[str]:
        """The keys where these bytes can still be found: now, in an old version, or in a part of an upload."""
        with self._lock:
            return self._buckets[self.bucket].holding(content)

    @contextlib.contextmanager
    def counted(self) -> Iterator[list[Record]]:
        """The requests made inside, as they come."""
        made: list[Record] = []
        with self._lock:
            self._counting.append(made)
        try:
            yield made
        finally:
            with self._lock:
                self._counting = [others for others in self._counting if others is not made]

    def fail(
        self,
        fault: Fault,
        *,
        after: bool = False,
        operation: str | None = None,
        key: str | Callable[[str], bool] = "",
        times: int | None = 1,
        skip: int = 0,
        delay: int | None = None,
        where: float = 0.5,
    ) -> Rule:
        """Let a fault strike the next requests that fit, or, with `times` None, all that come.

        `operation` is one of `Operation`, or "MULTIPART" for any of an upload. `key` is a prefix, or a function that
        says whether a key is meant. `skip` of those that fit go well at first. Of several rules the oldest strikes.
        """
        rule = Rule(Strike(fault, after, delay, where), operation, key, times, skip)
        with self._lock:
            self._rules.append(rule)
        return rule

    @contextlib.contextmanager
    def chaos(self, seed: int, probability: float, faults: Collection[Fault] = HONEST) -> Iterator[None]:
        """Let faults strike at random inside. Faults ordered by `fail` go first."""
        chaos = Chaos(seed, probability, faults)
        with self._lock:
            self._chaos.append(chaos)
        try:
            yield
        finally:
            with self._lock:
                self._chaos.remove(chaos)

    def heal(self) -> None:
        """Forget the orders of `fail`. Late requests stay late, held ones stay held."""
        with self._lock:
            self._rules.clear()

    def release(self) -> list[Record]:
        """Let all late requests take effect now, in order, and held ones go on. Return the late ones."""
        with self._lock:
            released = self._settle(float("inf"))
            held, self._held = self._held, []
        for event in held:
            event.set()
        return released

    def _serve(self, connection: socket.socket, request: Request) -> bool:
        """Do and answer one request. Whether the connection goes on."""
        record, strike = self._arrive(request)
        if self.latency:
            time.sleep(self.latency)
        if strike is None:
            return _send(connection, request, record, self._perform(request, record))
        fault = strike.fault
        if fault is Fault.HOLD and not strike.after:
            self._hold(strike)
        answer = Answer(200)
        if strike.performs or fault is Fault.HOLD:
            answer = self._perform(request, record)
        if fault is Fault.LATE:
            with self._lock:
                due = float("inf") if strike.delay is None else self._number + strike.delay
                self._late.append(_Late(request, record, due))
        if fault is Fault.HOLD and strike.after:
            self._hold(strike)
        strike.met.set()
        if fault is Fault.HANG:
            wait_until_given_up(connection)
        if fault in {Fault.RESET, Fault.LATE}:
            reset_when_closed(connection)
        if fault in {Fault.HANG, Fault.CLOSE, Fault.RESET, Fault.LATE}:
            return False
        if fault is Fault.DRIP:
            record.status, record.sent = answer.status, len(answer.body)
            drip(connection, answer.head(len(answer.body)), answer.body)
            return True
        cut = strike.where if fault is Fault.TRUNCATE else None
        return _send(connection, request, record, strike.answer(request, answer), cut)

    def _arrive(self, request: Request) -> tuple[Record, Strike | None]:
        record = Record.of(request)
        with self._lock:
            self._number += 1
            self._settle(self._number)
            for made in [*([self.requests] if self._remembers else []), *self._counting]:
                made.append(record)
            sources: list[Rule | Chaos] = [*self._rules, *self._chaos]
            strikes = (source.meets(request) for source in sources)
            strike = next((strike for strike in strikes if strike is not None), None)
        record.fault = strike.fault if strike else None
        return record, strike

    def _perform(self, request: Request, record: Record) -> Answer:
        with self._lock:
            answer = perform(self._buckets, request, self._new_bucket)
            record.applied = answer.wrote
        return answer

    def _settle(self, number: float) -> list[Record]:
        """Let due requests take effect. Called under the lock."""
        due = [late for late in self._late if late.due <= number]
        self._late = [late for late in self._late if late.due > number]
        for late in due:
            late.record.applied = perform(self._buckets, late.request, self._new_bucket).wrote
        return [late.record for late in due]

    def _hold(self, strike: Strike) -> None:
        event = threading.Event()
        with self._lock:
            if self._closing:
                return
            self._held.append(event)
        strike.met.set()  # not before: a release must find what the test was told is held
        event.wait()


def _send(
    connection: socket.socket, request: Request, record: Record, answer: Answer, cut: float | None = None
) -> bool:
    """Send an answer, or with `cut` only this part of its body. Return whether the connection goes on."""
    body = answer.body if request.method != "HEAD" else b""
    promised = len(answer.body)
    if cut is not None:
        body, promised = body[: int(cut * len(body))], max(1, promised)
    record.status, record.sent = answer.status, len(body)
    send(connection, answer.head(promised), body)
    return cut is None


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--chaos", nargs=2, default=("0", "0"), metavar=("SEED", "PROBABILITY"))
    options = parser.parse_args()
    seed, probability = options.chaos
    with (
        FaultyS3(port=options.port, latency=options.latency, remembers=False) as server,
        server.chaos(int(seed), float(probability)),
        contextlib.suppress(KeyboardInterrupt),
    ):
        print(server.endpoint, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    _main()
