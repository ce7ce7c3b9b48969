"""The requests of the viewer's pages on a bucket, counted at the server, and the memory of its process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import stowfast
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.view.viewer import client, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTED = 50
MANY = 100_000
MOST_RESIDENT = 150 * 2**20


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as found:
        yield found


def say(n: int) -> dict[str, Any]:
    return {"role": "user", "content": f"message {n}"}


async def test_titles_are_read_once_and_again_after_a_change(server: FaultyS3) -> None:
    url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
    async with stowfast.open(url) as stores, client(stores) as reader:
        for n in range(LISTED):
            await stores.messages.add_message(f"c{n}", say(n), metadata={"title": "own"} if n == 7 else None)

        async def reads() -> int:
            begun = len(server.requests)
            page = await reader.get("/")
            assert page.text.count("/conversation?id=") == LISTED
            assert [f"message {n}<" in page.text for n in (0, 7, 49)] == [True, False, True]
            return sum(one.key.startswith("h/") for one in server.requests[begun:] if one.operation == "GET")

        first, second = await reads(), await reads()
        await stores.messages.add_message("c3", say(3))
        third = await reads()
        assert (first >= LISTED - 1, second, 0 < third <= 2) == (True, 0, True), (first, second, third)


async def test_a_long_conversation_takes_four_reads(server: FaultyS3) -> None:
    url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
    async with stowfast.open(url) as stores:
        for start in range(0, 20_000, 1_000):
            await stores.messages.add_messages("c", [say(n) for n in range(start, start + 1_000)])
    async with stowfast.open(f"{url}&read_only=true") as stores, client(stores) as reader:
        await stores.messages.info("x")  # what opening costs is not of the page
        for path in ("/conversation?id=c", "/conversation?id=c&at=7000", "/older?id=c&before=19950"):
            begun = len(server.requests)
            page = await reader.get(path)
            assert page.text.count('<li class="message') == 50
            made = [f"{one.operation} {one.key}" for one in server.requests[begun:]]
            assert len(made) <= 4, made


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_the_server_of_100_000_messages_stays_small(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"
    with stowfast.sync.open(url) as stores:
        for start in range(0, MANY, 5_000):
            stores.messages.add_messages("c", [say(n) for n in range(start, start + 5_000)])
    with serving(url) as (address, process), httpx.Client(follow_redirects=True, timeout=60) as reader:
        assert "100,000 messages" in reader.get(address).text
        base = address.partition("/?")[0]
        for path in ("/conversation?id=c", "/conversation?id=c&at=50000", "/older?id=c&before=99950", "/place"):
            assert reader.get(base + path).status_code == 200
        before = 99_950
        for _ in range(20):  # as a reader who scrolls up
            before = int(reader.get(f"{base}/older?id=c&before={before}").headers["x-older"])
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    assert before == 98_950
    resident = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    assert resident < MOST_RESIDENT, f"{resident / 2**20:.0f} MiB"
