"""Faults that clauses and users' tests put on purpose: a wrapper that loses answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.errors import UnavailableError
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend, Change, Receipt

__all__ = ["LosesAnswers"]


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
