"""A bucket that loses answers, for the tests of the adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.services.faulty_s3.faults import Fault

if TYPE_CHECKING:
    from tests.services.faulty_s3.server import FaultyS3

FAULTS: Final = (Fault.RESET, Fault.CLOSE, Fault.INTERNAL, Fault.PRECONDITION)
"""The ways of an answer to be lost."""


class LosingBucket:
    """An empty bucket on a server of its own."""

    def __init__(self, server: FaultyS3, fault: Fault) -> None:
        self.url: Final = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        self._server = server
        self._fault = fault

    def lose_answer(self) -> None:
        """Lose the answer to the next PUT: it is stored."""
        self._server.fail(self._fault, after=True, operation="PUT")
