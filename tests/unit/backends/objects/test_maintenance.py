"""Background work: it costs little, and its failure harms no caller."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.backends.objects import maintenance
from stowfast.backends.objects.backend import ObjectBackend
from stowfast.backends.objects.protocol.load import read_head
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

KB = Random(1).randbytes(500).hex()


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url(server: FaultyS3, **options: Any) -> str:
    more = "".join(f"&{name}={value}" for name, value in options.items())
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true{more}"


def kinds(server: FaultyS3) -> Counter[str]:
    return Counter(
        f"{record.operation} {'head' if '/h/' in f'/{record.key}' else 'segment'}" for record in server.requests
    )


@pytest.mark.parametrize("size", [1, 4, 10])
async def test_segments_cost_one_put_in_twenty_appends_whatever_the_size_of_a_message(
    server: FaultyS3, size: int
) -> None:
    appends = 400
    async with stowfast.open(url(server)) as stores:
        await stores.messages.add_message("c", {})
        server.requests.clear()
        for number in range(appends):
            await stores.messages.add_message("c", {"n": number, "text": KB * size})
        found = kinds(server)
    print(f"{appends} appends of {size} KB: {dict(found)}")
    assert found["PUT head"] == appends  # segments are put to use by appends that come anyway
    assert found["PUT segment"] <= 0.05 * appends


async def test_closing_puts_to_use_what_was_written(server: FaultyS3) -> None:
    async with stowfast.open(url(server)) as stores:
        for number in range(70):
            await stores.messages.add_message("c", {"n": number, "text": KB})
    async with stowfast.open(url(server)) as stores:
        assert isinstance(stores.backend, ObjectBackend)
        state = stores.backend._run(read_head("messages/c"))
        assert sum(segment.count for segment in state.segments) > 0
        assert [message["n"] for message in await stores.messages.get_messages("c")] == list(range(70))
        segments = [key for key in server.objects if key.startswith("d/")]
        assert len(segments) == len(state.segments)


async def test_a_seal_that_gets_no_answer_delays_few_appends_and_rests(
    server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_ROOM", 0.2)
    async with stowfast.open(url(server, timeout=1.5)) as stores:
        await stores.messages.add_message("c", {})
        hanging = server.fail(Fault.HANG, operation="PUT", key="d/", times=None)
        for number in range(60):
            await stores.messages.add_message("c", {"n": number, "text": KB * 6}, op_id=f"op-{number}")
        struck = hanging.struck
        hanging.times = 0
        server.release()
        assert await stores.messages.count("c") == 61
        print(f"60 appends while no segment could be written: {struck} tries to write one")
        assert 0 < struck <= 12


class RefusesWhatItRuns:
    """As Python's executors without a new thread: refused work is queued all the same."""

    def __init__(self, submit: Any) -> None:
        self._submit = submit

    def __call__(self, *args: Any) -> Any:
        self._submit(*args)
        raise RuntimeError("can't start new thread")


async def test_executors_that_refuse_what_they_then_run_harm_no_append(
    server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stowfast.open(url(server)) as stores:
        backend = stores.backend
        assert isinstance(backend, ObjectBackend)
        helpers = backend._lines._work.helpers
        with monkeypatch.context() as patch:
            patch.setattr(helpers, "submit", RefusesWhatItRuns(helpers.submit))
            for number in range(100):
                entry = b'{"n":%d,"x":"%s"}' % (number, KB.encode())
                backend._lines.submit("messages/c", stowfast.abc.Change((entry,)))
        assert await asyncio.wait_for(stores.messages.add_message("c", {"n": 100}), 10) == 100
        with monkeypatch.context() as patch:
            patch.setattr(backend._leaders, "submit", RefusesWhatItRuns(backend._leaders.submit))
            with pytest.raises(stowfast.UnavailableError, match="nothing was stored"):
                await stores.messages.add_message("new", {"n": "refused"})
        assert await asyncio.wait_for(stores.messages.add_message("new", {"n": 0}), 10) == 0
        assert await stores.messages.get_messages("new") == [{"n": 0}]
        assert [message["n"] for message in await stores.messages.get_messages("c")] == list(range(101))


async def test_upkeep_that_breaks_is_nobodys_business(server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with stowfast.open(url(server)) as stores:
        monkeypatch.setattr(maintenance, "needs_seal", broken)
        for number in range(3):
            with suppress(stowfast.UnavailableError):
                await asyncio.wait_for(stores.messages.add_message("c", {"n": number}), 10)
        monkeypatch.undo()
        monkeypatch.setattr(maintenance, "seal", broken)
        for number in range(3, 100):
            await asyncio.wait_for(stores.messages.add_message("c", {"n": number, "text": KB}), 10)
        assert [message["n"] for message in await stores.messages.get_messages("c")] == list(range(100))


async def test_after_closing_a_call_that_is_under_way_ends_with_an_error_of_ours(server: FaultyS3) -> None:
    going_on = asyncio.Event()

    async def pieces() -> Any:
        for number in range(12):
            if number == 10:
                going_on.set()
                await closed.wait()
            yield bytes(2**20)

    closed = asyncio.Event()
    stores = await stowfast.open(url(server))
    await stores.artifacts.create(stowfast.Artifact(artifact_id="a", content=bytes(3 * 2**20)))
    await stores.messages.add_message("c", {})
    head, entries = await stores.backend.read("artifacts/a")
    assert head is not None
    assert entries
    writing = asyncio.create_task(stores.backend.write_blob("artifacts/b", pieces()))
    await going_on.wait()
    await stores.close()
    closed.set()
    with pytest.raises(stowfast.InvalidError):
        await writing
