"""OpenAI Agents SDK, `SQLiteSession`: its default for a file. It sets WAL itself and keeps SQLite's own FULL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents import SQLiteSession

from bench.stopwatch import serve

if TYPE_CHECKING:
    from pathlib import Path


class OpenAIAgents:
    def open(self, path: Path) -> None:
        self.path = path
        self.sessions: dict[str, SQLiteSession] = {}

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()

    def session(self, name: str) -> SQLiteSession:
        if name not in self.sessions:
            self.sessions[name] = SQLiteSession(name, self.path)
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
    serve(OpenAIAgents)
