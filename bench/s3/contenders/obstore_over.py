"""The same PUT over a key that is there, as Stowfast's are: not every store does that as fast as it takes a new one."""

from __future__ import annotations

from typing import Any

import obstore

from bench.s3.contenders.obstore_new import New
from bench.s3.stopwatch import serve


class Over(New):
    def add(self, name: str, _message: dict[str, Any]) -> None:
        obstore.put(self.store, name, next(self.bodies))


if __name__ == "__main__":
    serve(Over)
