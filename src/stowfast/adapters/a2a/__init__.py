"""A2A: tasks, their events and push notification configurations in any backend. `pip install 'stowfast[a2a]'`.

`StowfastTaskStore` is for a server of one process. In a cluster, give the request handlers of all processes a
`StowfastVersionedTaskStore` and a `StowfastTaskEventStream` over one backend.
"""

from __future__ import annotations

from stowfast.adapters.a2a.event_stream import StowfastTaskEventStream
from stowfast.adapters.a2a.push_configs import StowfastPushNotificationConfigStore
from stowfast.adapters.a2a.task_store import StowfastTaskStore
from stowfast.adapters.a2a.versioned_store import StowfastVersionedTaskStore

__all__ = [
    "StowfastPushNotificationConfigStore",
    "StowfastTaskEventStream",
    "StowfastTaskStore",
    "StowfastVersionedTaskStore",
]
