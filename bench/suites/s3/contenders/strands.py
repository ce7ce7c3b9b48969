"""Strands Agents, `S3SessionManager`: an object for each message, numbered after the loaded messages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from strands import Agent
from strands.models import BedrockModel
from strands.session import S3SessionManager
from strands.types.session import SessionMessage

from bench.suites.s3.workloads import HISTORIES

if TYPE_CHECKING:
    from bench.suites.s3.workloads import Job

AGENT = "default"
MODEL = BedrockModel(region_name="us-east-1")  # every agent has one; it is not called here


class Strands:
    most = 1_000  # ten times as many take ten times as long, and show nothing new

    def open(self, job: Job) -> None:
        self.job = job
        self.managers: dict[str, S3SessionManager] = {}
        self.agents: dict[str, Agent] = {}

    def close(self) -> None:
        for manager in self.managers.values():
            manager.client.close()

    def begin(self, name: str) -> S3SessionManager:
        if name not in self.managers:
            job = self.job
            self.managers[name] = S3SessionManager(
                name, bucket=job.bucket, prefix=job.prefix, endpoint_url=job.endpoint
            )
        return self.managers[name]

    def agent(self, name: str) -> Agent:
        # Only an agent that has loaded its session knows the next number, and it loads all of it.
        if name not in self.agents:
            self.agents[name] = Agent(model=MODEL, agent_id=AGENT, session_manager=self.begin(name))
        return self.agents[name]

    def add(self, name: str, message: dict[str, Any]) -> None:
        agent = self.agent(name)
        self.managers[name].append_message(_theirs(message), agent)

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        self.agent(name)
        manager = self.managers[name]
        records = [SessionMessage.from_message(_theirs(message), number) for number, message in enumerate(messages)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda record: manager.create_message(name, AGENT, record), records))

    def load(self, name: str) -> list[SessionMessage]:
        return self.begin(name).list_messages(name, AGENT)

    def last(self, name: str, count: int) -> list[SessionMessage]:
        # It takes an offset from the oldest. The known length is in its favour.
        return self.begin(name).list_messages(name, AGENT, limit=count, offset=HISTORIES[name] - count)

    def as_given(self, messages: list[SessionMessage]) -> list[dict[str, Any]]:
        given = [record.to_message() for record in messages]
        return [{"role": one["role"], "content": one["content"][0]["text"]} for one in given]


def _theirs(message: dict[str, Any]) -> Any:
    return {"role": message["role"], "content": [{"text": message["content"]}]}
