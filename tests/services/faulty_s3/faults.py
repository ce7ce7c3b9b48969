"""The faults of a request, and the rules that choose them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import TYPE_CHECKING

from tests.services.faulty_s3.wire import Answer, Operation, Request, error, text, xml

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence


class Fault(Enum):
    """A kind of fault. It strikes before the effect of the request, and prevents it, or after."""

    CONFLICT = "conflict"
    """409 ConditionalRequestConflict: another write was under way. Amazon has written nothing then."""
    PRECONDITION = "precondition"
    """412 PreconditionFailed, whether or not the condition held: one's own write, repeated on the way."""
    TOO_MANY = "too many"
    """429 TooManyRequests."""
    DENIED = "denied"
    """403 AccessDenied, as with expired credentials."""
    TIMEOUT = "timeout"
    """400 RequestTimeout: the body came too slowly."""
    INTERNAL = "internal"
    """500 InternalError."""
    SLOW_DOWN = "slow down"
    """503 SlowDown."""
    REDIRECTED = "redirected"
    """307 TemporaryRedirect, as from a new bucket with a new address."""
    PORTAL = "portal"
    """200 with a web page: the login of a hotel, or a proxy. Nothing of it reaches the store."""
    ERROR_IN_OK = "error in ok"
    """200 with an error for a body, as Amazon may answer the end of an upload; in a bulk delete, one for each key."""
    CLOSE = "close"
    """The connection is closed in an orderly way (FIN) instead of an answer."""
    RESET = "reset"
    """The connection is reset (RST) instead of an answer."""
    HANG = "hang"
    """There is no answer until the client gives up."""
    TRUNCATE = "truncate"
    """The effect takes place. The connection is closed before all of the promised body was sent."""
    FLIP = "flip"
    """The effect takes place. One bit of the answer's body is another."""
    DRIP = "drip"
    """The effect takes place. The answer's headers come at once, its body a byte every fifth of a second."""
    LATE = "late"
    """The connection is reset, and the request has its effect later, if its condition still holds then."""
    HOLD = "hold"
    """Nothing is lost: the request, or with `after` its answer, waits for `release`."""


_ERRORS: Mapping[Fault, tuple[int, str]] = {
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.PRECONDITION: (412, "PreconditionFailed"),
    Fault.TOO_MANY: (429, "TooManyRequests"),
    Fault.DENIED: (403, "AccessDenied"),
    Fault.TIMEOUT: (400, "RequestTimeout"),
    Fault.INTERNAL: (500, "InternalError"),
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.REDIRECTED: (307, "TemporaryRedirect"),
}

HONEST = frozenset(Fault) - {
    *(Fault.FLIP, Fault.HANG, Fault.HOLD, Fault.DRIP, Fault.DENIED, Fault.TIMEOUT, Fault.REDIRECTED, Fault.PORTAL)
}
"""The default faults of chaos: those of a correct store, without the timeout of a client."""

_ALL_WELL_BUT_THE_BODY = {Fault.TRUNCATE, Fault.FLIP, Fault.DRIP}
_READS = {"GET", "HEAD", "LIST"}


@dataclass(frozen=True)
class Strike:
    """One fault of one request."""

    fault: Fault
    after: bool = False
    """After the effect."""
    delay: int | None = None
    """A late effect takes place when so many more requests have come; None is only when it is released."""
    where: float = 0.5
    """Where the body is cut or spoilt: from 0, its beginning, up to 1."""
    met: threading.Event = field(default_factory=threading.Event)
    """Set as soon as a request it befell has had the effect it was to have at once, and before any answer."""

    @property
    def performs(self) -> bool:
        """Whether the effect takes place at once."""
        return (self.after and self.fault is not Fault.LATE) or self.fault in _ALL_WELL_BUT_THE_BODY

    def answer(self, request: Request, honest: Answer) -> Answer:
        """The answer in place of the real one."""
        if self.fault is Fault.REDIRECTED:
            # No name of a host: Amazon names one of the region, and every one of them answers so for some hours.
            return error(*_ERRORS[self.fault])._replace(headers={"location": f"/{request.bucket}/{request.key}"})
        if self.fault in _ERRORS:
            return error(*_ERRORS[self.fault])
        if self.fault is Fault.PORTAL:
            page = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Log in.</body></html>"
            return Answer(200, page, {"content-type": "text/html; charset=utf-8"})
        if self.fault is Fault.ERROR_IN_OK:
            inner = "<Code>InternalError</Code><Message>We encountered an internal error.</Message>"
            if request.key or request.operation != "DELETE":
                return xml("Error", inner)
            return xml("DeleteResult", "".join(f"<Error><Key>{text(k)}</Key>{inner}</Error>" for k in request.keys))
        if self.fault is Fault.FLIP and honest.body:
            spoilt = bytearray(honest.body)
            spoilt[int(self.where * len(spoilt))] ^= 1
            return honest._replace(body=bytes(spoilt))
        return honest


@dataclass
class Rule:
    """An ordered fault, and the number of its strikes."""

    strike: Strike
    operation: str | None
    key: str | Callable[[str], bool]
    times: int | None
    skip: int
    struck: int = 0

    def meets(self, request: Request) -> Strike | None:
        """The strike, if it is this request's turn. Called under the server's lock."""
        if self.times is not None and self.struck >= self.times:
            return None
        if self.operation not in {None, request.operation, request.operation.partition("_")[0]}:
            return None
        if not any(map(self._is_meant, request.keys)):
            return None
        if self.skip:
            self.skip -= 1
            return None
        self.struck += 1
        return self.strike

    def wait(self, timeout: float = 10) -> None:
        """Wait until it has struck for the first time: then held requests are held, and earlier ones done."""
        if not self.strike.met.wait(timeout):
            raise TimeoutError(f"no request has met {self.strike.fault} within {timeout} s")

    def _is_meant(self, key: str) -> bool:
        return self.key(key) if callable(self.key) else key.startswith(self.key)


class Chaos:
    """Faults drawn from a seed: the n-th request of an operation on a key always has the same one."""

    def __init__(self, seed: int, probability: float, faults: Collection[Fault] = HONEST) -> None:
        self._seed, self._probability = seed, probability
        self._faults = [fault for fault in Fault if fault in faults]
        self._turns: dict[tuple[Operation, str], int] = {}

    def meets(self, request: Request) -> Strike | None:
        """The strike for this request, if any. Called under the server's lock."""
        about = request.operation, request.key
        turn = self._turns[about] = self._turns.get(about, 0) + 1
        random = Random(f"{self._seed}/{about}/{turn}")
        if request.operation in {"BUCKET", "OTHER"} or random.random() >= self._probability:
            return None
        if not (strikes := self._possible(request)):
            return None
        fault, after = random.choice(strikes)
        return Strike(fault, after, random.randrange(1, 20), random.random())

    def _possible(self, request: Request) -> Sequence[tuple[Fault, bool]]:
        """The sensible faults: no conflict without a condition, no late effect of a read."""
        reads = request.operation in _READS
        conditional = bool(request.conditions) and not reads
        senseless = {
            *([] if conditional else [Fault.CONFLICT, Fault.PRECONDITION]),
            *([Fault.LATE] if reads else []),
            *([] if request.operation == "GET" else _ALL_WELL_BUT_THE_BODY),
            *([] if request.operation in {"MULTIPART_COMPLETE", "DELETE"} else [Fault.ERROR_IN_OK]),
        }
        both = [(fault, after) for fault in self._faults if fault not in senseless for after in (False, True)]
        return [
            (fault, after)
            for fault, after in both
            if not (after and (reads or fault in {Fault.CONFLICT, Fault.LATE, *_ALL_WELL_BUT_THE_BODY}))
        ]
