"""Faults that clauses and users' tests put on purpose: lost answers, and a clock that shows another time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.errors import UnavailableError
from stowfast.stores.codec import from_time
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from datetime import datetime

    from stowfast.abc import Backend, Change, Receipt

__all__ = ["At", "LosesAnswers"]


class LosesAnswers(Wrapper):
    """Commits, then raises UnavailableError, as if the connection broke before the answer.

    Args:
        backend: makes the commit.
        count: the number of answers to lose, from the next one on. The attribute `lose` may be set again at any time.
    """

    def __init__(self, backend: Backend, count: int = 1) -> None:
        super().__init__(backend)
        self.lose = count

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Commit, and lose the answer while there are answers to lose."""
        receipt = await self.backend.commit(stream, change)
        if self.lose > 0:
            self.lose -= 1
            raise UnavailableError("the answer was lost after the commit")
        return receipt


class At(Wrapper):
    """A backend with a given clock time."""

    def __init__(self, backend: Backend, moment: datetime) -> None:
        super().__init__(backend)
        self.moment = moment

    async def now(self) -> int:
        """Return that moment."""
        return from_time(self.moment, "the moment")
