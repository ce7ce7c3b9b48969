"""OpenAI Agents SDK: `SQLAlchemySession` on psycopg, with a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

from bench.suites.postgres.peers import POOL
from bench.suites.sqlite.contenders.openai_agents import Sessions

if TYPE_CHECKING:
    from bench.harness.contender import Job


class SQLAlchemySessions(Sessions):
    async def open(self, job: Job) -> None:
        await super().open(job)
        url = job.location.replace("postgresql://", "postgresql+psycopg://")
        self.engine = create_async_engine(url, pool_size=POOL, max_overflow=0)
        await SQLAlchemySession("tables", engine=self.engine, create_tables=True).get_items()

    async def close(self) -> None:
        await self.engine.dispose()

    def new_session(self, name: str) -> SQLAlchemySession:
        return SQLAlchemySession(name, engine=self.engine, create_tables=False)
