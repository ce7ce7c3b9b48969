"""A pytest plugin that puts Stowfast in the place of A2A's own stores."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from a2a.server import tasks
from swapping import fresh_url

from stowfast.adapters.a2a import StowfastPushNotificationConfigStore, StowfastTaskStore

_places: dict[int, tuple[object, str, str]] = {}


def _place(engine: object) -> tuple[str, str]:
    """Return a URL and a scope: the same for all stores over one engine, else unused ones."""
    if engine is None:
        return fresh_url(), uuid.uuid4().hex
    _, url, scope = _places.setdefault(id(engine), (engine, fresh_url(), uuid.uuid4().hex))
    return url, scope


class SwappedTasks(StowfastTaskStore):
    """Takes the arguments of any task store of A2A."""

    async def initialize(self) -> None:
        """Do nothing: there are no tables."""

    def __init__(self, engine: object = None, *, owner_resolver: Any = None, **_: Any) -> None:
        url, scope = _place(engine)
        super().__init__(url, scope=scope, **({} if owner_resolver is None else {"owner_resolver": owner_resolver}))


class SwappedConfigs(StowfastPushNotificationConfigStore):
    """Takes the arguments of any configuration store of A2A."""

    async def initialize(self) -> None:
        """Do nothing: there are no tables."""

    def __init__(
        self, engine: object = None, *, encryption_key: str | None = None, owner_resolver: Any = None, **_: Any
    ) -> None:
        self.engine = engine
        url, scope = _place(engine)
        own = {} if owner_resolver is None else {"owner_resolver": owner_resolver}
        super().__init__(url, scope=scope, encryption_key=encryption_key or None, **own)


def pytest_configure() -> None:
    """Swap the classes before the suites import them."""
    place = pytest.MonkeyPatch()
    for name in ("InMemoryTaskStore", "DatabaseTaskStore"):
        place.setattr(tasks, name, SwappedTasks)
    for name in ("InMemoryPushNotificationConfigStore", "DatabasePushNotificationConfigStore"):
        place.setattr(tasks, name, SwappedConfigs)
    place.setattr(tasks.database_push_notification_config_store, "DatabasePushNotificationConfigStore", SwappedConfigs)
