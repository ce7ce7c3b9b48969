"""A copy cannot be told from its source, is repeated at no cost, and replaces nothing of others."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import InvalidError, Stores, moving
from stowfast.abc import Change
from stowfast.backends.memory import MemoryBackend
from stowfast.moving import Selection
from stowfast.testing.faults import LosesAnswers
from stowfast.wrappers import Shared, Wrapper
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.moving.places import content, fill

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.abc import Backend, Receipt
    from tests.services.postgres import PostgresServer
    from tests.services.s3 import S3Server


async def copied(source: Stores, target: Stores, **options: Any) -> moving.Copied:
    done = await moving.copy(source, target, **options)
    assert done.complete, done.differences
    return done


async def test_a_copy_through_every_place_ends_as_it_began(
    tmp_path: Path, s3_server: S3Server, postgres_server: PostgresServer
) -> None:
    urls = [
        f"sqlite:///{tmp_path}/one.db", s3_server.url(), postgres_server.url(), s3_server.url(),
        f"sqlite:///{tmp_path}/two.db",
    ]  # fmt: skip
    async with stowfast.open("memory:") as first:
        await fill(first)
        wanted, digest = await content(first.backend), (await moving.verify(first)).digest
        done = await moving.copy(first, urls[0])
        assert (done.complete, done.blobs) == (True, 6)
    for source, target in pairwise(urls):
        done = await moving.copy(source, target)
        assert done.complete, done.differences
        assert done.streams == done.checked == len(wanted)
    for url in urls:
        verified = await moving.verify(url)
        assert (verified.sound, verified.digest) == (True, digest), url
    async with stowfast.open(urls[-1]) as last:
        assert await content(last.backend) == wanted
        again = await last.messages.add_messages("c0", [{"n": 0}] * 10, op_id="op-0")
        assert again == range(10)
        assert await content(last.backend) == wanted


async def test_a_repeat_copies_what_is_new_alone() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        await fill(source)
        total = (await copied(source, target)).streams
        done = await copied(source, target)
        assert (done.streams, done.entries, done.already_there) == (0, 0, total)
        await source.messages.add_message("c0", {"n": "more"})
        await source.messages.pop_message("c1")
        await source.messages.add_message("c1", {"n": "instead"})
        await source.artifacts.put(stowfast.Artifact(artifact_id="a1", content=b"z" * 200_000))
        await source.artifacts.prune("a0", keep=1)
        await source.messages.set_metadata("c2", {"user": "eve"})
        done = await copied(source, target)
        assert (done.streams, done.entries, done.blobs) == (5, 3, 1)
        assert await content(target.backend) == await content(source.backend)


async def test_what_was_begun_again_is_replaced_on_request() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        await source.messages.add_messages("c", [{"n": n} for n in range(5)])
        await copied(source, target)
        await source.messages.delete("c")
        await source.messages.add_message("c", {"n": "new"})
        done = await moving.copy(source, target)
        assert [one.stream for one in done.differences] == ["messages/c"]
        assert len(await target.messages.get_messages("c")) == 5
        await copied(source, target, replace=True)
        assert await content(target.backend) == await content(source.backend)


@pytest.mark.parametrize("change", ["append", "pop", "metadata", "delete", "another"])
async def test_what_somebody_changed_at_the_target_stays(change: str) -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        await source.messages.add_messages("c", [{"n": n} for n in range(5)])
        if change == "another":
            await target.messages.add_message("c", {"mine": True})
        else:
            await copied(source, target)
        if change in {"append", "delete"}:
            await target.messages.add_message("c", {"mine": True})
        if change == "pop":
            await target.messages.pop_message("c")
        if change == "metadata":
            await target.messages.set_metadata("c", {"mine": True})
        if change == "delete":
            await target.messages.delete("c")
            await target.messages.add_message("c", {"mine": True})
        await source.messages.add_message("c", {"n": 5})
        before = await content(target.backend)
        done = await moving.copy(source, target)
        assert not done.complete
        assert await content(target.backend) == before


async def test_a_selection_is_by_kind_id_metadata_and_time() -> None:
    async with stowfast.open("memory:") as source:
        await fill(source)
        for selection, wanted in (
            (Selection(kinds=["tasks"]), {"tasks/t0", "tasks/t1", "tasks/t2"}),
            (Selection(kinds=["messages", "documents"], prefix="c1"), {"messages/c1"}),
            (Selection(prefix="d"), {"documents/d0", "documents/d1", "documents/d2"}),
            (Selection(where={"user": "ada"}), {"messages/c1"}),
            (Selection(where={"n": 2}), {"messages/c2"}),
            (Selection(since=datetime.now(UTC) + timedelta(days=1)), set()),
        ):
            async with stowfast.open("memory:") as target:
                await copied(source, target, selection=selection)
                assert (await content(target.backend)).keys() == wanted


async def test_a_copy_into_a_scope_leaves_the_rest_alone() -> None:
    async with stowfast.open("memory:") as source:
        await fill(source, 1)
        before = await content(source.backend)
        with pytest.raises(InvalidError, match="one place"):
            await moving.copy(source, source)
        await copied(source, source, selection=Selection(kinds=["messages"], prefix="c0"), into="copy")
        after = await content(source.backend)
        assert {name: told for name, told in after.items() if name in before} == before
        assert await source.within("copy").messages.get_messages("c0") == await source.messages.get_messages("c0")


async def test_a_dry_run_counts_and_writes_nothing() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        await fill(source)
        would = await moving.copy(source, target, dry_run=True)
        assert await content(target.backend) == {}
        done = await copied(source, target)
        assert (would.selected, would.streams, would.entries) == (done.selected, done.streams, done.entries)
        assert (would.blobs, would.bytes) == (done.blobs, done.bytes)
        await source.messages.pop_message("c1")
        await source.messages.add_message("c1", {"n": "instead"})
        await source.artifacts.put(stowfast.Artifact(artifact_id="a1", content=b"z" * 200_000))
        await target.messages.add_message("c0", {"n": "by itself"})
        before = await content(target.backend)
        would = await moving.copy(source, target, dry_run=True)
        assert await content(target.backend) == before
        done = await moving.copy(source, target)
        assert [one.stream for one in done.differences] == ["messages/c0"]
        for told in ("selected", "streams", "entries", "blobs", "bytes", "differences"):
            assert getattr(would, told) == getattr(done, told), told


class Pops(Wrapper):
    """Removes the newest message of a stream of the source, once its copy was written."""

    def __init__(self, backend: Backend, source: Stores, name: str) -> None:
        super().__init__(backend)
        self.source, self.name = source, name

    async def commit(self, stream: str, change: Change) -> Receipt:
        receipt = await super().commit(stream, change)
        if stream == f"messages/{self.name}":
            await self.source.messages.pop_message(self.name)
        return receipt


async def test_what_was_not_compared_is_not_counted() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        for name in ("still", "changes"):
            await source.messages.add_message(name, {"n": 0})
        await copied(source, target)
        for name in ("still", "changes"):
            await source.messages.add_message(name, {"n": 1})
        done = await copied(source, Stores(Pops(Shared(target.backend), source, "changes")))
        assert (done.streams, done.checked) == (2, 1)


async def test_a_repeated_copy_into_a_scope_of_the_same_place_leaves_its_copies_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/one.db"
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", {"n": 0})
        await stores.within("other").messages.add_message("c", {"n": 1})
    for _ in range(3):
        await moving.copy(url, url, into="t")
    async with stowfast.open(url) as stores:
        names = {"messages/c", "other:messages/c", "t:messages/c", "t:other:messages/c"}
        assert set(await content(stores.backend)) == names
        await moving.copy(stores.within("other"), stores, into="other/2")
        await moving.copy(stores.within("t"), stores, into="t2")
        assert "t2:other:messages/c" in await content(stores.backend)


async def test_one_place_is_known_by_any_of_its_names(
    tmp_path: Path, s3_server: S3Server, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bucket = s3_server.url()
    postgres = postgres_server.url()
    pairs = [("sqlite:///b.db", "sqlite:///./b.db"), ("sqlite:///b.db", "sqlite:///linked.db"),
             (bucket, bucket.replace("?", "/?", 1)), (postgres, postgres)]  # fmt: skip
    (tmp_path / "linked.db").symlink_to(tmp_path / "b.db")
    for source, target in pairs:
        async with stowfast.open(source) as stores:
            await stores.messages.add_message("c", {"n": 0})
        with pytest.raises(InvalidError, match="one place"):
            await moving.copy(source, target)
    assert (await moving.copy(bucket, s3_server.url())).streams == 1
    assert (await moving.copy(postgres, postgres_server.url())).streams == 1


async def test_a_kind_that_nobody_has_is_refused() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        await fill(source)
        for call in (moving.copy(source, target, selection=Selection(["messages", "messagez"])),
                     moving.verify(source, selection=Selection(["messagez"]))):  # fmt: skip
            with pytest.raises(
                InvalidError, match=r"messagez.*artifacts, documents, langgraph, messages, other, tasks"
            ):
                await call
        assert await content(target.backend) == {}
        assert (await copied(source, target, selection=Selection(["other", "langgraph"]))).streams == 1


async def test_a_lost_answer_costs_a_look() -> None:
    async with stowfast.open("memory:") as source:
        await fill(source)
        place = LosesAnswers(MemoryBackend(), 5)
        await copied(source, Stores(place))
        assert await content(place) == await content(source.backend)
        await place.close()


async def test_a_long_stream_comes_in_parts_and_a_call_stays_whole() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        for number in range(3):
            body = [bytes(300_000) for _ in range(20)]
            await source.backend.commit("messages/long", Change(body, op_id=f"call-{number}"))
        await copied(source, target)
        assert await content(target.backend) == await content(source.backend)


async def test_damage_at_the_source_is_named_and_hides_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/place.db"
    async with stowfast.open(url) as source:
        await fill(source)
    with closing(sqlite3.connect(tmp_path / "place.db")) as connection, connection:
        connection.execute(
            "UPDATE entries SET data = 'x' WHERE place >> 32 = (SELECT id FROM streams WHERE name = 'messages/c1')"
        )
    async with stowfast.open("memory:") as target:
        done = await moving.copy(url, target)
        assert [one.stream for one in done.differences] == ["messages/c1"]
        assert "messages/c1" not in await content(target.backend)
        assert "messages/c2" in await content(target.backend)


async def test_a_conversation_of_200_messages_costs_a_request() -> None:
    """Without the check 1 PUT and a share of LISTs; the check reads each head once more."""
    count = 100
    async with stowfast.open("memory:") as source:
        for number in range(count):
            messages = [{"role": "user", "n": n, "content": "x" * 300} for n in range(200)]
            await source.messages.add_messages(f"c{number}", messages)
        for check, most in ((False, 1.2), (True, 2.2)):
            with FaultyS3() as server:
                url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
                async with stowfast.open(url) as target:
                    await target.messages.info("nobody")  # the store is tested once
                    with server.counted() as made:
                        await copied(source, target, check=check)
                each = len(made) / count
                print(f"\n{each:.2f} requests a conversation of 200 messages, check={check}")
                assert each <= most


async def test_forty_thousand_messages_from_file_to_file(tmp_path: Path) -> None:
    """The rate is printed: 20,000 a second are promised, on a quiet machine."""
    async with stowfast.open(f"sqlite:///{tmp_path}/one.db") as source:
        for number in range(200):
            messages = [{"role": "user", "n": n, "content": "x" * 300} for n in range(200)]
            await source.messages.add_messages(f"c{number}", messages)
    began = time.perf_counter()
    done = await moving.copy(f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db")
    rate = done.entries / (time.perf_counter() - began)
    print(f"\n{rate:,.0f} messages a second from SQLite to SQLite, read back and compared")
    assert done.complete
    assert done.entries == 40_000


async def test_a_dry_run_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"
    async with stowfast.open("memory:") as stores:
        await stores.messages.add_message("c", {"n": 1})
        for url in (f"sqlite:///{path}", f"SQLite:///{path}?sweep=false"):
            found = await moving.copy(stores, url, dry_run=True)
            assert (found.streams, found.complete) == (1, True)
            assert not path.exists()
        path.touch()
        assert (await moving.copy(stores, f"sqlite:///{path}", dry_run=True)).streams == 1
        assert path.stat().st_size == 0
