"""LangGraph: `PostgresSaver` with a pool, in threads, and `AsyncPostgresSaver` with a pool, in tasks.

A checkpoint holds the whole list of messages, as every prebuilt agent keeps it. The saver stores a list anew where the
channel has a new version, as it has after each message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from bench.suites.langgraph import _plain, _thread
from bench.suites.postgres.peers import POOL

if TYPE_CHECKING:
    from bench.harness.contender import Job

# As the documentation of the library says.
_CONNECTION: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}


class _Conversations:
    def __init__(self) -> None:
        self.newest: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.lists: dict[str, list[BaseMessage]] = {}

    def after(self, name: str, messages: list[dict[str, Any]]) -> tuple[Any, Any, Any, Any]:
        held = self.lists.setdefault(name, [])
        held += convert_to_messages(messages)
        self.versions[name] = self.saver.get_next_version(self.versions.get(name), None)
        versions = {"messages": self.versions[name]}
        checkpoint = empty_checkpoint() | {"channel_values": {"messages": list(held)}, "channel_versions": versions}
        metadata = {"source": "loop", "step": len(held), "parents": {}}
        return self.newest.get(name) or _thread(name), checkpoint, metadata, versions

    saver: Any

    def as_given(self, messages: list[BaseMessage]) -> list[dict[str, Any]]:
        return _plain(messages)


class InThreads(_Conversations):
    def open(self, job: Job) -> None:
        self.pool = ConnectionPool(job.location, min_size=POOL, max_size=POOL, kwargs=_CONNECTION, open=True)
        self.saver = PostgresSaver(self.pool)
        self.saver.setup()

    def close(self) -> None:
        self.pool.close()

    def add(self, name: str, message: dict[str, Any]) -> None:
        self.add_all(name, [message])

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        self.newest[name] = self.saver.put(*self.after(name, messages))

    def load(self, name: str) -> list[BaseMessage]:
        return self.saver.get_tuple(_thread(name)).checkpoint["channel_values"]["messages"]

    def last(self, name: str, count: int) -> list[BaseMessage]:
        return self.load(name)[-count:]


class InTasks(_Conversations):
    async def open(self, job: Job) -> None:
        self.pool = AsyncConnectionPool(job.location, min_size=POOL, max_size=POOL, kwargs=_CONNECTION, open=False)
        await self.pool.open()
        self.saver = AsyncPostgresSaver(self.pool)
        await self.saver.setup()

    async def close(self) -> None:
        await self.pool.close()

    async def add(self, name: str, message: dict[str, Any]) -> None:
        await self.add_all(name, [message])

    async def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        self.newest[name] = await self.saver.aput(*self.after(name, messages))

    async def load(self, name: str) -> list[BaseMessage]:
        return (await self.saver.aget_tuple(_thread(name))).checkpoint["channel_values"]["messages"]

    async def last(self, name: str, count: int) -> list[BaseMessage]:
        return (await self.load(name))[-count:]
