"""Stowfast without an event loop: the same stores, for scripts, notebooks and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast.sync
from bench.stopwatch import serve

if TYPE_CHECKING:
    from pathlib import Path


class StowfastSync:
    def open(self, path: Path) -> None:
        self.opened = stowfast.sync.open(f"sqlite:///{path}")
        stores = self.opened.__enter__()
        self.messages = stores.messages
        self.add = stores.messages.add_message
        self.add_all = stores.messages.add_messages
        self.load = stores.messages.get_messages

    def close(self) -> None:
        self.opened.__exit__(None, None, None)

    def last(self, context: str, count: int) -> list[dict[str, object]]:
        return self.messages.get_messages(context, last=count)

    def stream(self, context: str) -> int:
        return sum(1 for _ in self.messages.entries(context))


if __name__ == "__main__":
    serve(StowfastSync)
