"""langgraph-checkpoint-objectstorage's `ObjectStorageSaver`, uncompressed as it is by default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from langgraph_checkpoint_objectstorage import ObjectStorageSaver

from bench.tasks.contenders.langgraph import Saver
from bench.tasks.stopwatch import serve

if TYPE_CHECKING:
    from bench.tasks.workloads import Job


class LangGraphOnS3(Saver):
    def open(self, job: Job) -> None:
        super().open(job)
        self.saver = ObjectStorageSaver.from_conn_string(
            f"s3://{job.place}",
            key=os.environ["AWS_ACCESS_KEY_ID"],
            secret=os.environ["AWS_SECRET_ACCESS_KEY"],
            client_kwargs={"endpoint_url": job.endpoint},
        )
        self.saver.fs.connect()  # else it does so with the first load, and to open is not timed


if __name__ == "__main__":
    serve(LangGraphOnS3)
