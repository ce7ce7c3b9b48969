"""boto3 by hand, an object for each message: PUT to append; LIST, then the GETs in threads, to read.

The writer counts in its memory. It lists once, when it begins a conversation.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from bench.suites.s3.workloads import Job


class Boto3Objects:
    most = 1_000  # ten times as many take ten times as long, and show nothing new

    def open(self, job: Job) -> None:
        self.s3 = boto3.client("s3", endpoint_url=job.endpoint)
        self.bucket, self.prefix = job.bucket, job.prefix
        self.lengths: dict[str, int] = {}
        self.turn = threading.Lock()

    def close(self) -> None:
        self.s3.close()

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}", Body=body)

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}")["Body"].read()

    def keys(self, folder: str) -> list[str]:
        prefix, keys = f"{self.prefix}/{folder}/", []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            keys += [one["Key"].removeprefix(f"{self.prefix}/") for one in page.get("Contents", ())]
        return keys

    def _number(self, name: str) -> int:
        with self.turn:
            if name not in self.lengths:
                self.lengths[name] = len(self.keys(f"messages/{name}"))
            self.lengths[name] += 1
            return self.lengths[name] - 1

    def add(self, name: str, message: dict[str, Any]) -> None:
        self.put(f"messages/{name}/{self._number(name):08}.json", json.dumps(message).encode())

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._put_at, [name] * len(messages), range(len(messages)), messages))

    def _put_at(self, name: str, number: int, message: dict[str, Any]) -> None:
        self.put(f"messages/{name}/{number:08}.json", json.dumps(message).encode())

    def _read(self, keys: list[str]) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(10) as pool:  # as many as the client keeps connections
            return [json.loads(body) for body in pool.map(self.get, keys)]

    def load(self, name: str) -> list[dict[str, Any]]:
        return self._read(self.keys(f"messages/{name}"))

    def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return self._read(self.keys(f"messages/{name}")[-count:])

    def count(self, name: str) -> int:
        return len(self.keys(f"messages/{name}"))

    def conversations(self, _count: int) -> list[str]:
        prefix, names = f"{self.prefix}/messages/", []
        pages = self.s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"):
            names += [one["Prefix"].removeprefix(prefix).rstrip("/") for one in page.get("CommonPrefixes", ())]
        return names

    def save(self, name: str, state: dict[str, Any]) -> None:
        self.put(f"tasks/{name}.json", json.dumps(state).encode())

    def load_task(self, name: str) -> Any:
        return json.loads(self.get(f"tasks/{name}.json"))

    def put_artifact(self, name: str, content: bytes) -> None:
        self.put(f"artifacts/{name}", content)

    def get_artifact(self, name: str) -> bytes:
        return self.get(f"artifacts/{name}")
