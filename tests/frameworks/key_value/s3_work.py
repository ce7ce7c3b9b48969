"""A hundred values on S3: in py-key-value's own store, and in ours."""

from __future__ import annotations

from typing import Any

from key_value.aio.stores.s3 import S3Store

from bench.suites.conversations import one_conversation
from stowfast.adapters.key_value import StowfastKeyValueStore
from tests.frameworks.s3_work import Bucket, Opening, do

VALUES = {f"key-{number:02}": message for number, message in enumerate(one_conversation(100))}


class Values:
    """The steps over a store. A step is in a new process."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def store(self) -> Any:
        raise NotImplementedError

    async def put(self) -> None:
        async with self.store() as store:
            for key, value in VALUES.items():
                await store.put(key, value)

    again = put

    async def get(self) -> None:
        async with self.store() as store:
            assert [await store.get(key) for key in VALUES] == list(VALUES.values())

    async def get_many(self) -> None:
        async with self.store() as store:
            assert await store.get_many(list(VALUES)) == list(VALUES.values())

    async def delete(self) -> None:
        async with self.store() as store:
            assert all([await store.delete(key) for key in VALUES])


class Ours(Values):
    def store(self) -> Any:
        return StowfastKeyValueStore(self.bucket.url)

    async def keys(self) -> None:
        async with self.store() as store:
            assert await store.keys() == list(VALUES)


class Theirs(Values):
    def store(self) -> Any:
        bucket = self.bucket
        return S3Store(bucket_name=bucket.name, endpoint_url=bucket.endpoint, default_collection=bucket.prefix)


if __name__ == "__main__":
    do({"opening": Opening, "ours": Ours, "theirs": Theirs})
