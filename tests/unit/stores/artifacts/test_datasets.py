"""Datasets: rows in batches, held to their columns, read as a stream and as tables, a million in constant memory."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from math import inf, nan
from random import Random
from typing import TYPE_CHECKING, Any

import pandas
import pyarrow
import pytest
from pyarrow import parquet

import stowfast
from stowfast import Artifact, ConflictError, InvalidError, NotFoundError, UnsupportedError
from stowfast.backends.memory import MemoryBackend
from stowfast.testing.data.messages import exactly
from stowfast.testing.faults import LosesAnswers
from stowfast.wrappers import Wrapper
from tests.conformance.places import memory, sqlite
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator
    from pathlib import Path

    from stowfast.testing import Make

SECONDS = 20
MEBIBYTES = 96
COLUMNS = {
    "s": "string", "i": "integer", "n": "number", "b": "boolean", "o": "object", "a": "array", "any": "any",
    "maybe": "integer?",
}  # fmt: skip
ROW = {"s": "é\n", "i": 2**40, "n": 0.5, "b": True, "o": {"k": [None]}, "a": [1, "x"], "any": None, "maybe": None}


@pytest.fixture(params=["memory", "sqlite", "objects"])
def make(request, tmp_path) -> Iterator[Make[stowfast.Stores]]:
    if request.param == "objects":
        with FaultyS3() as server:
            url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
            yield lambda: stowfast.open(url)
    else:
        yield {"memory": memory, "sqlite": sqlite}[request.param](tmp_path)


@pytest.fixture
async def artifacts(make) -> AsyncIterator[stowfast.Artifacts]:
    async with make() as stores:
        yield stores.artifacts


@pytest.fixture
def here() -> stowfast.Artifacts:
    return stowfast.Stores(MemoryBackend()).artifacts


async def store(artifacts: stowfast.Artifacts, *batches: list[Any], **options: Any) -> stowfast.ArtifactInfo:
    async with artifacts.open_dataset("d", **options) as dataset:
        for batch in batches:
            await dataset.append(batch)
    assert dataset.info is not None
    return dataset.info


async def load(artifacts: stowfast.Artifacts, **options: Any) -> list[dict[str, Any]]:
    return [row async for row in artifacts.rows("d", **options)]


def rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"n": number, "text": Random(number).randbytes(50).hex()} for number in range(start, stop)]


async def test_rows_come_back_as_they_were_given_in_their_order(artifacts):
    info = await store(artifacts, rows(0, 3), [], rows(3, 20_000), context_id="c", name="d.ndjson")
    assert (info.kind, info.rows, info.version, info.mime_type) == ("dataset", 20_000, 1, "application/x-ndjson")
    assert info == await artifacts.info("d") == (await artifacts.list(context_id="c"))[0]
    exactly(await load(artifacts), rows(0, 20_000), "rows")
    found = await artifacts.get("d")
    assert found is not None
    assert [json.loads(line) for line in found.content.splitlines()] == rows(0, 20_000)
    async with artifacts.open_reader("d", stop=20) as reader:
        assert await reader.read() == found.content[:20]


async def test_of_no_rows(artifacts):
    assert (await store(artifacts)).rows == 0
    assert await load(artifacts) == []
    assert (await artifacts.to_arrow("d")).num_rows == 0
    assert (await store(artifacts, [{}, {}])).rows == 2
    assert await load(artifacts) == [{}, {}]


async def test_values_survive_as_json_carries_them(here, airline):
    values: list[Any] = [2**64, -(2**200), 1.0, 1e308, -0.0, 5e-324, "\u2028\u0000\r\n", [[[]]], "é"]
    batch = [{"v": value} for value in values]
    batch += airline[:20]
    deep: Any = []
    for _ in range(198):
        deep = [deep]
    batch.append({"deep": deep})
    batch.append({"long": "x" * 3 * 2**20})
    batch.append({"n": 1})
    await store(here, batch)
    exactly(await load(here), batch, "rows")


@pytest.mark.parametrize(
    "value", [nan, inf, (1,), b"x", "\ud800", {1: 2}, {1}, object(), 10**5_000], ids=lambda value: type(value).__name__
)
async def test_what_json_cannot_carry_is_refused_and_the_rest_goes_on(here, value):
    async with here.open_dataset("d") as dataset:
        await dataset.append(rows(0, 5))
        with pytest.raises(InvalidError, match="row 7"):
            await dataset.append([{"n": 5}, {"n": 6}, {"n": value}, {"n": 8}])
        assert dataset.rows == 5
        await dataset.append(rows(5, 6))
    assert await load(here) == rows(0, 6)


async def test_what_are_no_rows_is_refused(here):
    wrong: Any
    async with here.open_dataset("d") as dataset:
        for wrong in ({"n": 1}, "text", 5, None, [5], [[1]], [{"n": 1}, None]):
            with pytest.raises(InvalidError):
                await dataset.append(wrong)
        tables = (pyarrow.table({"n": [1]}), r"to_pylist\(\)"), (pandas.DataFrame({"n": [1]}), r"to_dict\('records'\)")
        for wrong, fix in tables:
            with pytest.raises(InvalidError, match=fix):
                await dataset.append(wrong)
        await dataset.append(row for row in rows(0, 2))
    assert await load(here) == rows(0, 2)


async def test_rows_are_held_to_their_columns(artifacts):
    without = {key: value for key, value in ROW.items() if key != "maybe"}
    info = await store(artifacts, [ROW, without, ROW | {"maybe": 1, "any": {}}], columns=COLUMNS)
    assert info.schema == {"columns": COLUMNS}
    assert await load(artifacts) == [ROW, without, ROW | {"maybe": 1, "any": {}}]
    wrong: list[tuple[dict[str, Any], str]] = [
        (ROW | {"s": 1}, "'s' is int, not string"),
        (ROW | {"i": 1.0}, "'i' is float, not integer"),
        (ROW | {"i": True}, "'i' is bool, not integer"),
        (ROW | {"n": "1"}, "'n' is str, not number"),
        (ROW | {"b": 0}, "'b' is int, not boolean"),
        (ROW | {"o": []}, "'o' is list, not object"),
        (ROW | {"a": {}}, "'a' is dict, not array"),
        (ROW | {"s": None}, "'s' is NoneType, not string"),
        (ROW | {"maybe": "1"}, "'maybe' is str, not integer?"),
        ({key: value for key, value in ROW.items() if key != "s"}, "'s' is missing"),
        (ROW | {"other": 1}, "'other', which is no column"),
    ]
    for row, says in wrong:
        with pytest.raises(InvalidError, match=r"row 2\b") as caught:
            await store(artifacts, [ROW], [ROW, row], columns=COLUMNS)
        assert says in str(caught.value)
    assert len(await artifacts.versions("d")) == 1


@pytest.mark.parametrize("columns", [{"n": "int"}, {"n": "integer??"}, {"n": 1}, {1: "integer"}, ["n"], "n", {"n": ""}])
async def test_what_are_no_columns_is_refused(here, columns):
    with pytest.raises(InvalidError):
        await store(here, columns=columns)
    assert await here.info("d") is None


async def test_appended_rows_come_behind_those_that_were_there(artifacts):
    assert (await store(artifacts, rows(0, 10_000), columns={"n": "integer", "text": "string"}, append=True)).rows
    info = await store(artifacts, rows(10_000, 10_010), append=True)
    assert (info.version, info.rows) == (2, 10_010)
    exactly(await load(artifacts), rows(0, 10_010), "rows")
    assert len(await load(artifacts, version=1)) == 10_000
    with pytest.raises(InvalidError, match="row 10,010: column 'n' is str"):
        await store(artifacts, [{"n": "x", "text": ""}], append=True)  # held to the columns that were declared
    wider = {"n": "integer", "text": "string", "new": "boolean?"}
    assert (await store(artifacts, [{"n": 1, "text": "", "new": True}], append=True, columns=wider)).rows == 10_011
    for columns in ({"n": "integer"}, wider | {"x": "any"}, wider | {"n": "number"}):
        with pytest.raises(InvalidError, match="only new ones"):
            await store(artifacts, append=True, columns=columns)
    await artifacts.prune("d", keep=1)
    assert (await store(artifacts, [{"n": 1, "text": ""}], append=True)).rows == 10_012


async def test_of_two_who_append_at_once_none_loses_rows(artifacts):
    await store(artifacts, rows(0, 1))
    async with artifacts.open_dataset("d", append=True) as one:
        await one.append(rows(1, 2))
        await store(artifacts, rows(1, 3), append=True)
        with pytest.raises(ConflictError) as caught:
            await one.close()
        await one.abort()
    assert caught.value.current == 2
    assert await load(artifacts) == rows(0, 3)


async def test_a_version_of_its_own_without_append(artifacts):
    await store(artifacts, rows(0, 5), columns={"n": "integer", "text": "string"})
    info = await store(artifacts, rows(5, 6))
    assert (info.rows, info.schema) == (1, {"columns": {"n": "integer", "text": "string"}})
    assert await load(artifacts) == rows(5, 6)
    assert await load(artifacts, version=1) == rows(0, 5)


async def test_a_dataset_and_other_kinds_in_turn(here):
    await store(here, rows(0, 1), columns={"n": "integer", "text": "string"})
    assert (await here.update(Artifact(artifact_id="d", content=b"a file"))).schema is None
    with pytest.raises(InvalidError, match="no dataset"):
        await load(here)
    with pytest.raises(InvalidError, match="no dataset"):
        await store(here, append=True)
    assert (await here.update(Artifact(artifact_id="d", content=[1], schema={"type": "array"}))).kind == "data"
    assert (await store(here, [{"x": 1}])).schema is None
    with pytest.raises(NotFoundError):
        await here.to_arrow("unknown")
    with pytest.raises(NotFoundError):
        await load(here, version=9)


async def test_an_exception_leaves_nothing(artifacts):
    async def fail() -> None:
        async with artifacts.open_dataset("d") as dataset:
            await dataset.append(rows(0, 50_000))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await artifacts.info("d") is None


async def test_a_lost_answer_is_repeated_under_its_op_id():
    place = LosesAnswers(MemoryBackend(), 1)
    artifacts = stowfast.Stores(place).artifacts
    with pytest.raises(stowfast.UnavailableError):
        await store(artifacts, rows(0, 2), op_id="op")
    assert (await store(artifacts, rows(0, 2), op_id="op")).version == 1
    place.lose = 1
    with pytest.raises(stowfast.UnavailableError):
        await store(artifacts, rows(2, 3), op_id="more", append=True)
    assert (await store(artifacts, rows(2, 3), op_id="more", append=True)).version == 2
    assert await load(artifacts) == rows(0, 3)


async def test_as_tables(artifacts, tmp_path):
    columns = {"n": "integer", "text": "string", "half": "number", "even": "boolean?", "tags": "array", "o": "object"}
    batch = [
        row | {"half": row["n"] / 2 if row["n"] % 2 else row["n"] // 2, "tags": ["x"] * (row["n"] % 3), "o": {"k": 1}}
        for row in rows(0, 30_000)
    ]
    for row in batch[10_000:]:
        row["even"] = row["n"] % 2 == 0
        row["o"]["late"] = "é"
    await store(artifacts, batch, columns=columns)
    table = await artifacts.to_arrow("d")
    listed = pyarrow.list_(pyarrow.string())
    struct = pyarrow.struct([("k", pyarrow.int64()), ("late", pyarrow.string())])
    kinds = [pyarrow.int64(), pyarrow.string(), pyarrow.float64(), pyarrow.bool_(), listed, struct]
    assert [(field.name, field.type) for field in table.schema] == list(zip(columns, kinds, strict=True))
    expected = [row | {"even": row.get("even"), "o": {"k": 1, "late": row["o"].get("late")}} for row in batch]
    assert table.to_pylist() == expected
    path = tmp_path / "d.parquet"
    info = await artifacts.to_parquet("d", path)
    assert info.rows == 30_000
    assert parquet.read_table(path).to_pylist() == expected
    assert list(tmp_path.glob("*.part")) == []
    frame = await artifacts.to_pandas("d")
    assert frame["n"].dtype == "int64"
    assert frame["text"].tolist() == [row["text"] for row in batch]


async def test_types_are_found_by_a_look_at_all_rows(here, tmp_path):
    first = [{"a": 1, "mixed": 1, "big": 1, "empty": {}, "lists": [], "none": None, "b": True}] * 30_000
    last = [{"a": 1.5, "mixed": "x", "big": 2**70, "empty": {}, "lists": [{"k": 1}], "new": "n", "b": 0}]
    await store(here, first, last)
    table = await here.to_arrow("d")
    names = ["a", "mixed", "big", "empty", "lists", "none", "b", "new"]
    assert table.schema.names == names
    assert table.schema.field("a").type == pyarrow.float64()
    bottom = table.slice(30_000).to_pylist()[0]
    assert bottom == {
        "a": 1.5, "mixed": '"x"', "big": str(2**70), "empty": "{}", "lists": [{"k": 1}], "none": None, "b": "0",
        "new": "n",
    }  # fmt: skip
    assert table.slice(0, 1).to_pylist()[0]["mixed"] == "1"
    await here.to_parquet("d", tmp_path / "d.parquet")
    assert parquet.read_table(tmp_path / "d.parquet").equals(table)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**60 + 1], ids=hex)
async def test_a_number_that_arrow_cannot_keep_is_refused_not_rounded(here, value, tmp_path):
    kind = "number" if value == 2**60 + 1 else "integer"
    await store(here, [{"n": value}], columns={"n": kind})
    for call in (here.to_arrow("d"), here.to_parquet("d", tmp_path / "d.parquet")):
        with pytest.raises(InvalidError, match="column 'n'"):
            await call
    assert list(tmp_path.iterdir()) == []
    assert await load(here) == [{"n": value}]


async def test_integers_stay_integers_in_a_frame(here):
    await store(here, [{"n": 2**53 + 1}, {"n": None}])
    assert (await here.to_pandas("d"))["n"].tolist() == [2**53 + 1, None]


async def test_a_file_that_cannot_be_written(here, tmp_path):
    await store(here, rows(0, 1))
    with pytest.raises(InvalidError, match="cannot be written"):
        await here.to_parquet("d", tmp_path / "no folder" / "d.parquet")


async def test_without_the_extras(here, monkeypatch, tmp_path):
    await store(here, rows(0, 1))
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (here.to_arrow("d"), here.to_pandas("d"), here.to_parquet("d", tmp_path / "d.parquet")):
        with pytest.raises(UnsupportedError, match=r"pip install 'stowfast\[arrow\]'"):
            await call
    script = """
import asyncio, sys
import stowfast
class NoPandas:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("there is none", name="pandas")
sys.meta_path.insert(0, NoPandas())
async def main():
    async with stowfast.open("memory:") as stores:
        async with stores.artifacts.open_dataset("d") as dataset:
            await dataset.append([{"n": 1}])
        print((await stores.artifacts.to_arrow("d")).num_rows)
        try:
            await stores.artifacts.to_pandas("d")
        except stowfast.UnsupportedError as error:
            print(error)
asyncio.run(main())
"""
    done = await asyncio.to_thread(run, script)
    assert done[0] == "1"
    assert "pip install 'stowfast[pandas]'" in done[1]


def run(script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


MILLION = """
import asyncio, json, resource, sys, time
import pyarrow.parquet
import stowfast

def peak():
    # Linux lets a program begin with the peak of the one that started it in `ru_maxrss`, which would hide its own.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def batch(start):
    return [{"n": n, "text": f"row {n}", "half": n / 2, "odd": None if n % 3 else n % 2 == 1}
            for n in range(start, start + 10_000)]

async def measure(artifacts, name, count, columns):
    began = time.perf_counter()
    async with artifacts.open_dataset(name, columns=columns) as dataset:
        for start in range(0, count, 10_000):
            await dataset.append(batch(start))
    wrote, total = time.perf_counter(), 0
    async for row in artifacts.rows(name):
        total += row["n"]
    read = time.perf_counter()
    assert total == count * (count - 1) // 2
    await artifacts.to_parquet(name, f"{sys.argv[1]}/{name}.parquet")
    ended = time.perf_counter()
    return {"size": dataset.info.size, "write": wrote - began, "read": read - wrote, "parquet": ended - read}

async def main():
    columns = {"n": "integer", "text": "string", "half": "number", "odd": "boolean?"}
    async with stowfast.open(f"sqlite:///{sys.argv[1]}/place.db") as stores:
        await measure(stores.artifacts, "some", 200_000, columns)
        before = peak()
        measured = await measure(stores.artifacts, "million", 1_000_000, columns)
        print(json.dumps(measured | {"before": before, "growth": peak() - before}))

asyncio.run(main())
"""


async def test_a_million_rows_in_constant_memory(tmp_path: Path):
    (line,) = await asyncio.to_thread(run, MILLION, str(tmp_path))
    measured = json.loads(line)
    print(measured)
    assert parquet.ParquetFile(tmp_path / "million.parquet").metadata.num_rows == 1_000_000
    assert measured["growth"] < MEBIBYTES < measured["size"] * 3 / 2**20  # as rows in memory they are ten times that


class Slow(Wrapper):
    """A backend, slow with each piece of a blob."""

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        async def slowly() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                await asyncio.sleep(0.02)
                yield chunk

        return await super().write_blob(stream, slowly())


async def test_an_append_that_ran_out_of_time_leaves_no_gap():
    artifacts = stowfast.Stores(Slow(MemoryBackend())).artifacts
    batches = [rows(start, start + 10_000) for start in range(0, 60_000, 10_000)]
    async with artifacts.open_dataset("d") as dataset:
        for batch in batches:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await dataset.append(batch)
        assert dataset.rows == 60_000
    assert dataset.info is not None
    assert dataset.info.rows == 60_000
    exactly(await load(artifacts), [row for batch in batches for row in batch], "rows")
