"""A stand-in for S3 where none can be had: `moto`. It keeps all in memory, and lets two win a race."""

from __future__ import annotations

import sys

from tests.services.process import HOST, Child


class Moto(Child):
    """`python -m moto.server` on a port of its own."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]
