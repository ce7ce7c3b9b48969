"""OpenAI Agents SDK, `SQLAlchemySession` on aiosqlite: its answer for async code and for other databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.extensions.memory import SQLAlchemySession
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from bench.stopwatch import serve

if TYPE_CHECKING:
    from pathlib import Path


def _full(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = FULL")


class OpenAIAgentsSQLAlchemy:
    async def open(self, path: Path) -> None:
        self.engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        event.listen(self.engine.sync_engine, "connect", _full)
        self.sessions: dict[str, SQLAlchemySession] = {}

    async def close(self) -> None:
        await self.engine.dispose()

    def session(self, name: str) -> SQLAlchemySession:
        if name not in self.sessions:
            self.sessions[name] = SQLAlchemySession(name, engine=self.engine, create_tables=True)
        return self.sessions[name]

    async def add(self, name: str, message: dict[str, Any]) -> None:
        await self.session(name).add_items([message])

    async def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        await self.session(name).add_items(messages)

    async def load(self, name: str) -> list[dict[str, Any]]:
        return await self.session(name).get_items()

    async def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return await self.session(name).get_items(limit=count)


if __name__ == "__main__":
    serve(OpenAIAgentsSQLAlchemy)
