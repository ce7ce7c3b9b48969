"""Artifacts without await: files, writers, live artifacts and datasets, beside the async face and inside a loop."""

from __future__ import annotations

import gc
import io
import threading
import zipfile
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from pyarrow import parquet

import stowfast
import stowfast.sync
from stowfast import Artifact, ConflictError, InvalidError, NotFoundError, registry
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.test_sync import OnALoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

failing = pytest.raises  # around a whole block, where it is the block that fails

SECONDS = 30
BODY = bytes(range(256)) * 12_000  # 3 MB


@pytest.fixture(params=["memory", "sqlite", "objects", "loop"])
def url(request, tmp_path, monkeypatch) -> Iterator[str]:
    if request.param == "objects":
        with FaultyS3() as server:
            yield f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        return
    load = registry._load
    monkeypatch.setitem(registry.BACKENDS, "loop", "a module of the tests")
    monkeypatch.setattr(registry, "_load", lambda scheme: OnALoop if scheme == "loop" else load(scheme))
    yield {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/place.db", "loop": "loop:"}[request.param]


@pytest.fixture
def artifacts(url) -> Iterator[stowfast.sync.Artifacts]:
    with stowfast.sync.open(url) as stores:
        yield stores.artifacts


def test_a_writer(artifacts):
    with artifacts.open_writer("a", name="a.bin", context_id="c") as writer:
        for start in range(0, len(BODY), 300_000):
            writer.write(BODY[start : start + 300_000])
        assert writer.size == len(BODY)
        assert artifacts.info("a") is None
    assert writer.info == artifacts.info("a")
    assert artifacts.get("a").content == BODY
    with artifacts.open_writer("a", expect=1) as writer:
        writer.write("text")
        assert writer.close().version == 2
    assert artifacts.get("a").content == "text"
    assert artifacts.prune("a", keep=1) == 1
    with pytest.raises(NotFoundError), artifacts.open_reader("a", version=1):
        pytest.fail("it was pruned")


def test_an_exception_in_the_block_stores_nothing(artifacts):
    for opened in (artifacts.open_writer("a"), artifacts.open_live("a")):
        with failing(RuntimeError), opened as writer:
            writer.write(BODY)
            raise RuntimeError
        assert artifacts.get("a") is None
    assert artifacts.info("a").state == "failed"
    with failing(RuntimeError), artifacts.open_dataset("d") as rows:
        rows.append([{"n": 1}])
        raise RuntimeError
    assert artifacts.info("d") is None


def test_what_the_end_of_a_block_raises_comes_out(artifacts):
    artifacts.create(Artifact(artifact_id="a"))
    with pytest.raises(ConflictError), artifacts.open_writer("a", expect=0) as writer:
        writer.write(b"x")
    with pytest.raises(ConflictError), artifacts.open_live("a", expect=0) as live:
        live.write(b"x")
    with artifacts.open_writer("b") as writer:
        writer.abort()
    assert artifacts.info("b") is None


def test_a_file_object(artifacts):
    packed, picture = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one.txt", "one")
        archive.writestr("body.bin", BODY)
    Image.new("RGB", (300, 200), "red").save(picture, "png")
    artifacts.create(Artifact(artifact_id="a.zip", content=packed.getvalue()))
    artifacts.create(Artifact(artifact_id="a.png", content=picture.getvalue()))
    with artifacts.open_reader("a.zip") as file:
        assert file.info.mime_type == "application/zip"
        with zipfile.ZipFile(file) as archive:
            assert archive.read("body.bin") == BODY
        assert file.seek(-4, io.SEEK_END) == file.tell() == file.info.size - 4
        assert len(file.read()) == 4
    assert file.closed
    with artifacts.open_reader("a.zip", start=10, stop=20) as file:
        assert file.read(100) == packed.getvalue()[10:20]
    with closing(artifacts.open_file("a.png")) as opened, Image.open(opened) as image:
        assert image.size == (300, 200)


@pytest.mark.slow
def test_a_file_that_was_not_read_to_its_end_is_let_go(artifacts):
    artifacts.create(Artifact(artifact_id="a", content=BODY))
    with suppress(RuntimeError), artifacts.open_reader("a") as file:
        assert file.read(10) == BODY[:10]
        raise RuntimeError
    assert file.closed
    del file
    gc.collect()


def test_a_live_artifact_is_followed_from_another_thread(artifacts):
    got: list[bytes] = []
    begun = threading.Event()

    def follow() -> None:
        for piece in artifacts.follow("a"):
            got.append(piece)
            begun.set()

    with artifacts.open_live("a", flush_seconds=0.05) as writer:
        writer.write("first ")
        writer.flush()
        follower = threading.Thread(target=follow)
        follower.start()
        assert begun.wait(SECONDS)
        assert artifacts.info("a").state == "building"  # the same opening is used meanwhile
        for number in range(1_000):
            writer.write(f"{number} ")
        writer.flush()
        with pytest.raises(ConflictError), artifacts.open_live("a"):
            pytest.fail("there were two writers")
    follower.join(SECONDS)
    assert not follower.is_alive()
    assert b"".join(got) == artifacts.get("a").content.encode() == b"".join(artifacts.follow("a"))
    assert writer.info.size == writer.size == len(b"".join(got))


def test_a_piece_is_seen_while_the_writer_does_something_else(artifacts):
    with artifacts.open_live("a", flush_seconds=0.05) as writer:
        writer.write("x")
        pieces = artifacts.follow("a")
        assert next(pieces) == b"x"  # in the writer's own thread, which would wait for ever else
        pieces.close()


@pytest.mark.slow
def test_a_dataset(artifacts, tmp_path):
    rows = [{"n": number, "text": str(number)} for number in range(30_000)]
    with artifacts.open_dataset("d", columns={"n": "integer", "text": "string"}) as dataset:
        for start in range(0, 30_000, 10_000):
            dataset.append(rows[start : start + 10_000])
        with pytest.raises(InvalidError, match="row 30,000"):
            dataset.append([{"n": "x", "text": ""}])
        assert dataset.rows == 30_000
    assert dataset.info == artifacts.info("d")
    assert list(artifacts.rows("d")) == rows == artifacts.to_arrow("d").to_pylist()
    assert artifacts.to_pandas("d")["n"].sum() == sum(range(30_000))
    assert artifacts.to_parquet("d", tmp_path / "d.parquet").rows == 30_000
    assert parquet.read_table(tmp_path / "d.parquet").num_rows == 30_000
    with artifacts.open_dataset("d", append=True) as dataset:
        dataset.append(rows[:1])
    assert next(artifacts.rows("d", version=2)) == rows[0]


async def test_inside_a_running_event_loop(url):
    with stowfast.sync.open(url) as stores:
        with stores.artifacts.open_writer("a") as writer:
            writer.write(BODY)
        with stores.artifacts.open_live("b") as live:
            live.write(b"x")
        with stores.artifacts.open_dataset("d") as dataset:
            dataset.append([{"n": 1}])
        with stores.artifacts.open_reader("a") as file:
            assert file.read() == BODY
        assert list(stores.artifacts.rows("d")) == [{"n": 1}]
        assert b"".join(stores.artifacts.follow("b")) == b"x"


def test_writers_and_plain_calls_side_by_side(artifacts):
    """One opening is used in place by some threads, and through loops by others."""

    def write(name: str) -> None:
        for number in range(5):
            with artifacts.open_writer(f"{name}-{number}") as writer:
                writer.write(BODY[:100_000])
                artifacts.create(Artifact(artifact_id=f"{name}-{number}-beside", content=name))
                writer.write(BODY[:100_000])

    threads = [threading.Thread(target=write, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SECONDS)
        assert not thread.is_alive()
    for writer in range(6):
        for number in range(5):
            assert artifacts.get(f"t{writer}-{number}").content == BODY[:100_000] * 2
            assert artifacts.get(f"t{writer}-{number}-beside").content == f"t{writer}"


def test_a_writer_s_thread_ends_with_its_block(artifacts):
    before = set(threading.enumerate())
    with artifacts.open_writer("a") as writer:
        writer.write(b"x")
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.name == "stowfast-portal"] == []


USES: list[Callable[[Any], object]] = [
    lambda artifacts: artifacts.open_writer("a").__enter__().close(),
    lambda artifacts: artifacts.open_live("a").__enter__(),
    lambda artifacts: artifacts.open_dataset("a").__enter__(),
    lambda artifacts: artifacts.open_reader("a").__enter__(),
    lambda artifacts: list(artifacts.follow("a")),
    lambda artifacts: list(artifacts.rows("a")),
]


@pytest.mark.parametrize("use", USES)
def test_nothing_is_used_after_closing(url, use):
    with stowfast.sync.open(url) as stores:
        stores.artifacts.create(Artifact(artifact_id="a"))
    with pytest.raises(InvalidError):
        use(stores.artifacts)
