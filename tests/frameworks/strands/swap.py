"""Puts Stowfast's session repository in the place of the one that Strands' tests keep in memory."""

from __future__ import annotations

import atexit
from typing import Any
from uuid import uuid4

from swapping import fresh_url
from tests.fixtures import mock_session_repository  # type: ignore[import-not-found]

from stowfast.adapters.strands import StowfastSessionRepository


class Swapped(StowfastSessionRepository):
    """Opened without an argument, as theirs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fresh_url(), scope=uuid4().hex, **options)  # one store in memory serves a process
        atexit.register(self.close)


mock_session_repository.MockedSessionRepository = Swapped
