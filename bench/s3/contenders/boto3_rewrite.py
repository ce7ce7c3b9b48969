"""boto3 by hand, an object for each conversation, read and written back whole with every message."""

from __future__ import annotations

import json
from typing import Any

from bench.s3.contenders.boto3_objects import Bucket
from bench.s3.stopwatch import serve


class Rewrite(Bucket):
    def add(self, name: str, message: dict[str, Any]) -> None:
        self.add_all(name, [message])

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        try:
            so_far = self.load(name)
        except self.s3.exceptions.NoSuchKey:
            so_far = []
        self.put(f"messages/{name}.json", json.dumps(so_far + messages).encode())

    def load(self, name: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = json.loads(self.get(f"messages/{name}.json"))
        return messages

    def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return self.load(name)[-count:]

    def count(self, name: str) -> int:
        return len(self.load(name))


if __name__ == "__main__":
    serve(Rewrite)
