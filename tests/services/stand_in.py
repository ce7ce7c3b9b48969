"""The stand-in for S3 where Ceph cannot be had: `faulty_s3` without faults, in a process of its own."""

from __future__ import annotations

import sys

from tests.services.process import Child


class StandIn(Child):
    """`python -m tests.services.faulty_s3.server` on a port of its own. It keeps everything in memory."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.services.faulty_s3.server", str(self.port)]
