"""LangGraph's `SqliteSaver`, in WAL mode and with `synchronous=FULL`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.contenders.langgraph import open_saver
from bench.tasks.contenders.langgraph import Saver
from bench.tasks.stopwatch import serve

if TYPE_CHECKING:
    from bench.tasks.workloads import Job


class LangGraphOnSqlite(Saver):
    def open(self, job: Job) -> None:
        super().open(job)
        self.saver = open_saver(Path(job.place))

    def close(self) -> None:
        self.saver.conn.close()


if __name__ == "__main__":
    serve(LangGraphOnSqlite)
