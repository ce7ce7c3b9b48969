"""OpenAI Agents SDK: `SQLiteSession`, its default for a file, and `SQLAlchemySession` on aiosqlite, for async code.

The first sets WAL itself and keeps SQLite's own `synchronous=FULL`; the second is told so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents import SQLiteSession
from agents.extensions.memory import SQLAlchemySession
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from bench.suites.sqlite.workloads import Job


class Sessions:
    async def open(self, job: Job) -> None:
        self.path = job.location
        self.sessions: dict[str, Any] = {}

    async def close(self) -> None:
        for session in self.sessions.values():
            session.close()

    def new_session(self, name: str) -> Any:
        return SQLiteSession(name, self.path)

    def session(self, name: str) -> Any:
        if name not in self.sessions:
            self.sessions[name] = self.new_session(name)
        return self.sessions[name]

    async def add(self, name: str, message: dict[str, Any]) -> None:
        await self.session(name).add_items([message])

    async def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        await self.session(name).add_items(messages)

    async def load(self, name: str) -> list[dict[str, Any]]:
        return await self.session(name).get_items()

    async def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return await self.session(name).get_items(limit=count)


class SQLAlchemySessions(Sessions):
    async def open(self, job: Job) -> None:
        await super().open(job)
        self.engine = create_async_engine(f"sqlite+aiosqlite:///{job.location}")
        event.listen(self.engine.sync_engine, "connect", _full)

    async def close(self) -> None:
        await self.engine.dispose()

    def new_session(self, name: str) -> SQLAlchemySession:
        return SQLAlchemySession(name, engine=self.engine, create_tables=True)


def _full(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = FULL")
