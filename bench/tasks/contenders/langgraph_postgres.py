"""LangGraph's `PostgresSaver`. It stores the channels that are new, and PostgreSQL compresses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.postgres import PostgresSaver

from bench.tasks.contenders.langgraph import Saver
from bench.tasks.stopwatch import serve

if TYPE_CHECKING:
    from bench.tasks.workloads import Job


class LangGraphOnPostgres(Saver):
    def open(self, job: Job) -> None:
        super().open(job)
        self.opened = PostgresSaver.from_conn_string(job.place)
        self.saver = self.opened.__enter__()
        self.saver.setup()

    def close(self) -> None:
        self.opened.__exit__(None, None, None)


if __name__ == "__main__":
    serve(LangGraphOnPostgres)
