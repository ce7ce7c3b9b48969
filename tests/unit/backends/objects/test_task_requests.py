"""The costs of a task in a bucket: the requests of a load by a new process, and the bytes and requests of its saves."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from bench.suites.conversations import conversation
from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.requests import Token
from stowfast.backends.objects.protocol.state import decode_state
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.backends.objects.maintained import maintained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD = keys_of("tasks/t").head


def growing() -> Iterator[dict[str, Any]]:
    """A conversation, after each of its messages."""
    said = conversation(300)
    return ({"messages": said[:step]} for step in range(1, 301))


def edited(document: Callable[[Random], str]) -> Iterator[dict[str, Any]]:
    """Documents of a kilobyte, one of which is another each time."""
    draw = Random(1)
    data = {"documents": [document(draw) for _ in range(400)]}
    while True:
        data["documents"][draw.randrange(400)] = document(draw)
        yield data


def text(draw: Random) -> str:
    return " ".join(f"{draw.getrandbits(64):x}" if number % 6 == 0 else "invoice" for number in range(120))


def noise(draw: Random) -> str:
    return "".join(draw.choices([chr(code) for code in range(35, 127) if code != 92], k=1_000))


SHAPES = {"conversation": growing, "text": lambda: edited(text), "noise": lambda: edited(noise)}


def stores_of(server: FaultyS3) -> Any:
    return stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true")


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_new_process_loads_the_newest_version_with_four_requests(shape: str) -> None:
    gets: list[int] = []
    with FaultyS3() as server:
        async with stores_of(server) as stores:
            for number, state in enumerate(islice(SHAPES[shape](), 600), 1):
                await stores.tasks.save(stowfast.TaskState(task_id="t", data=state))
                if number % 23 == 0 or number in (299, 300, 600):
                    await maintained(stores, "tasks/t")  # it would be counted below
                    async with stores_of(server) as cold:
                        with server.counted() as made:
                            found = await cold.tasks.load("t")
                    assert found is not None
                    assert found.data == state
                    assert {record.operation for record in made} == {"GET"}
                    assert [record.key for record in made].count(HEAD) == 1
                    gets.append(len(made))
        print(f"{shape}: GETs of the newest version {gets}")
        versions = range(1, number + 1, 97)
        for version in versions:
            async with stores_of(server) as cold:
                with server.counted() as made:
                    assert await cold.tasks.load("t", version=version) is not None
            assert len(made) <= 6
    assert sum(gets) / len(gets) <= 4
    assert max(gets) <= 4


async def test_the_steps_of_a_conversation_upload_a_few_times_its_size() -> None:
    with FaultyS3() as server:
        with server.counted() as made:
            async with stores_of(server) as stores:
                for state in growing():
                    await stores.tasks.save(stowfast.TaskState(task_id="t", data=state))
        uploaded = sum(record.received for record in made if record.key.startswith(("h/tasks", "d/tasks")))
        puts = [record.key for record in made if record.operation == "PUT"]
        size = len(stowfast.stores.codec.encode(state, "a state"))
        heads = sum(key == HEAD for key in puts)
        print(
            f"300 steps, {size:,} bytes in the end: {uploaded:,} bytes uploaded, {len(puts)} PUTs, {heads} of the head"
        )
        assert uploaded <= 10 * size
        assert len(puts) <= 1.16 * 300
        # What each PUT of the head has beside the entries that no segment has yet.
        last = server.objects[HEAD]
        tail = decode_state("tasks/t", last, Token(None, None)).tail_size
        assert len(last) - tail <= 800
