"""Work on S3 whose requests are counted, in the environment of a framework: its bucket, its messages, its command line.

A framework with a store of its own on S3 has a module `<module>/s3_work.py` that calls `do`. `suite.toml` names the
stores and the steps; `s3_requests` runs each step in a new process.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

import stowfast
from bench.suites.conversations import one_conversation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TURNS: Final = 20
CANNOT: Final = 3
"""The exit code of a step that a store has no call for."""
_READ: Final = 400
"""Messages of the conversation among which the turns are found."""


class Bucket(NamedTuple):
    """A prefix of a bucket behind the proxy. The credentials are in the environment."""

    endpoint: str
    name: str
    prefix: str

    @property
    def url(self) -> str:
        """The same for Stowfast."""
        return f"s3://{self.name}/{self.prefix}?{urlencode({'endpoint_url': self.endpoint})}"


def turns(count: int = TURNS) -> list[tuple[str, str]]:
    """Return questions and answers: the texts of a conversation, without its calls."""
    said: dict[str, list[str]] = {"user": [], "assistant": []}
    for message in one_conversation(_READ):
        if message["role"] in said and message["content"]:
            said[message["role"]].append(message["content"])
    found = list(zip(said["user"], said["assistant"], strict=False))[:count]
    assert len(found) == count
    return found


class Opening:
    """Stowfast alone, without a framework: the share of each process."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    async def open(self) -> None:
        """Open a new place, and close it."""
        async with stowfast.open(self.bucket.url):
            pass


def do(stores: Mapping[str, Callable[[Bucket], Any]]) -> None:
    """Do one step with one store, as the command line says. A step raises if it got back something else."""
    store, step, *place = sys.argv[1:]
    method = getattr(stores[store](Bucket(*place)), step, None)
    if method is None:
        sys.exit(CANNOT)
    done = method()
    if inspect.iscoroutine(done):
        asyncio.run(done)
