"""A bucket that counts the requests of a call, for the costs on the pages of the adapters."""

from __future__ import annotations

from collections import Counter
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.faulty_s3.server import FaultyS3


class CountedBucket:
    """An empty bucket on a server of its own."""

    def __init__(self, server: FaultyS3) -> None:
        self.url: Final = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        self._server = server

    async def requests(self, call: Callable[[], Any]) -> dict[str, int]:
        """Make a call of either face, and return the number of its requests by their kind."""
        with self._server.counted() as made:
            answer = call()
            if isawaitable(answer):
                await answer
        return dict(Counter(record.operation for record in made))
