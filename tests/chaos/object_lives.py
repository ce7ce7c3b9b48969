"""Lives of a conversation and of an artifact on object storage: acknowledged calls against stored state."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import stowfast
from stowfast.backends.objects.backend import ObjectBackend
from stowfast.backends.objects.driver.opening import open_store
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

R = TypeVar("R")

NOISE = "noise " * 100_000
TRIES = 12
LARGE = 9 * 2**20
"""Beyond one part of an upload."""


def expected_of(fault: Fault) -> tuple[type[stowfast.StowfastError], ...]:
    """The errors of a caller during a fault."""
    if fault is Fault.DENIED:
        return (stowfast.InvalidError,)
    if fault is Fault.FLIP:
        # The version of a format is a byte too, and not one that a checksum could be trusted for.
        return (stowfast.DamagedError, stowfast.UnsupportedError)
    return (stowfast.UnavailableError,)


class Life:
    """A caller. It repeats calls without an answer, if that is allowed, and keeps all answers."""

    def __init__(
        self, server: FaultyS3, prefix: str, expected: tuple[type[stowfast.StowfastError], ...], *, timeout: float
    ) -> None:
        self.expected = expected
        url = f"s3://{server.bucket}/{prefix}"
        self._store = open_store(url, endpoint_url=server.endpoint, anonymous=True, timeout=timeout)
        # To make a client costs more than all its requests here; so one serves every opening of this life.
        self.close = self._store.close
        self._store.close = lambda: None  # type: ignore[method-assign]
        self.said: dict[str, list[tuple[dict[str, Any], bool]]] = {}
        """Of each conversation: each message in order, and whether it must be there, or only may."""
        self.counts: Counter[str] = Counter()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[stowfast.Stores]:
        """A new opening, with nothing cached."""
        stores = stowfast.Stores(ObjectBackend(self._store))
        try:
            yield stores
        finally:
            await stores.close()

    async def call(self, make: Callable[[], Awaitable[R]]) -> R:
        """Make a call, and repeat it until it is answered."""
        for _ in range(TRIES):
            try:
                done = await make()
            except self.expected as error:
                self.counts[f"told {type(error).__name__}"] += 1
            else:
                self.counts["answered"] += 1
                return done
        raise AssertionError(f"not answered in {TRIES} tries")

    async def add(self, stores: stowfast.Stores, where: str, *texts: str, size: int = 0, named: bool = True) -> None:
        """Add messages together. Without an op_id there is no repeat, so messages without an answer may be there."""
        messages = [{"text": text, "noise": NOISE[:size]} for text in texts]
        said = self.said.setdefault(where, [])
        first = len(said)

        def add(op_id: str | None = None) -> Awaitable[range]:
            return stores.messages.add_messages(where, messages, op_id=op_id)

        if named:
            await self.call(lambda: add(f"op-{first}"))
            said += [(message, True) for message in messages]
            return
        try:
            await add()
        except self.expected as error:
            self.counts[f"told {type(error).__name__}"] += 1
            said += [(message, False) for message in messages]
        else:
            said += [(message, True) for message in messages]

    def check(self, where: str, found: list[dict[str, Any]]) -> None:
        """Check: each acknowledged message is there once and in order, and nothing else."""
        at = 0
        for message, sure in self.said[where]:
            if at < len(found) and found[at] == message:
                at += 1
            else:
                assert not sure, f"{message['text']} is not there, or not in its place"
        assert at == len(found), f"{found[at]['text']} is there twice, or out of its place"

    async def read(self, stores: stowfast.Stores, where: str) -> None:
        found = await self.call(lambda: stores.messages.get_messages(where, originals=True))
        self.check(where, found)
        assert await self.call(lambda: stores.messages.count(where)) == len(found)
        last = await self.call(lambda: stores.messages.get_messages(where, last=3, originals=True))
        assert last == found[-3:]


async def conversation(life: Life) -> None:
    """Append, small and large, for seals and merges; read; drop; list; delete; sweep."""
    async with life.open() as stores:
        await life.add(stores, "kept", "0", named=False)
        await life.add(stores, "kept", "1")
        await life.add(stores, "kept", "2", "3", "4", size=200_000)  # more than a head may hold
        await life.add(stores, "kept", "5", named=False)
        for number in range(6, 12):
            await life.add(stores, "kept", str(number), size=20_000)
        await life.add(stores, "short", "0", "1", "2", "3", size=200_000)
        await life.call(lambda: stores.messages.add_message("gone", {"text": NOISE}))
        await life.read(stores, "kept")
        await fork(life, stores)
        await drop(life, stores)
    async with life.open() as stores:
        await life.read(stores, "kept")
        await life.add(stores, "kept", "12", named=False)
        await life.add(stores, "kept", "13")
        await life.add(stores, "forked", "another")
        await life.call(lambda: stores.messages.delete("gone"))
        await life.call(stores.sweep)
        assert await life.call(lambda: stores.messages.get_messages("gone")) == []
    async with life.open() as stores:
        await life.read(stores, "kept")
        await life.read(stores, "short")
        page = await life.call(lambda: stores.messages.contexts(order="id"))
        assert [ref.context_id for ref in page] == ["forked", "kept", "short"]


async def fork(life: Life, stores: stowfast.Stores) -> None:
    """Fork the conversation. A repeat returns the answer of the first call."""
    life.said["forked"] = list(life.said["kept"])
    count = await life.call(lambda: stores.messages.fork("kept", "forked", op_id="fork"))
    await life.read(stores, "forked")
    assert await life.call(lambda: stores.messages.count("forked")) == count
    await life.add(stores, "kept", "after the fork", size=20_000)
    assert await life.call(lambda: stores.messages.fork("kept", "forked", op_id="fork")) == count


async def drop(life: Life, stores: stowfast.Stores) -> None:
    """Keep the newest message only. A repeat may find the first call done."""

    async def compact() -> None:
        while True:
            try:
                await stores.messages.compact("short", keep_last=1, summary={"text": "older"}, drop=True)
            except stowfast.ConflictError:
                continue
            return

    await life.call(compact)
    del life.said["short"][:-1]


async def artifact(life: Life) -> None:
    """Store versions beside each other, delete one artifact, sweep, read the other."""
    contents = [NOISE[:100_000].encode(), b"small"]
    async with life.open() as stores:
        for name in ("kept", "gone"):
            await create(life, stores, name, contents[0])
        second = stowfast.Artifact(artifact_id="kept", content=contents[1])
        await life.call(lambda: stores.artifacts.update(second, op_id="second"))
    async with life.open() as stores:
        await life.call(lambda: stores.artifacts.delete("gone"))
        await life.call(stores.sweep)
        assert await life.call(lambda: stores.artifacts.get("gone")) is None
        await get(life, stores, contents)


async def large_artifact(life: Life) -> None:
    """Store one in several parts, and read it."""
    async with life.open() as stores:
        await create(life, stores, "kept", bytes(LARGE))
        await get(life, stores, [bytes(LARGE)])


async def create(life: Life, stores: stowfast.Stores, name: str, content: bytes) -> None:
    one = stowfast.Artifact(artifact_id=name, content=content)
    await life.call(lambda: stores.artifacts.create(one, op_id="first"))


async def get(life: Life, stores: stowfast.Stores, contents: list[bytes]) -> None:
    """Every version is there, with its content."""

    def one(version: int) -> Awaitable[stowfast.Artifact | None]:
        return life.call(lambda: stores.artifacts.get("kept", version=version))

    found = [await one(version + 1) for version in range(len(contents) + 1)]
    assert [version and version.content for version in found] == [*contents, None]


async def afterwards(life: Life) -> None:
    """After the fault, a new opening finds all as it was, at once."""
    life.expected = ()
    async with life.open() as stores:
        for where in life.said:
            await life.read(stores, where)
        assert await stores.messages.get_messages("gone") == []
        assert await stores.artifacts.get("gone") is None
        await stores.sweep()
        for where in life.said:
            await life.read(stores, where)
