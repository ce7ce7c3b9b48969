"""Clauses of datasets: rows come back as given, in order, and fit their columns."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, NotFoundError, UnavailableError, UnsupportedError
from stowfast.records import Artifact
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.protocols import AS_GIVEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stowfast.records import ArtifactInfo
    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.clause import Make

_COLUMNS: Final = {"n": "integer", "text": "string", "some": "number?"}


async def rows_come_back_as_they_were_given(make: Make[Stores]) -> None:
    """The rows of a dataset come back in order and exactly as given, in any number of batches, by version."""
    odd = [AS_GIVEN, {}, {"": None}, {"z": 1, "a": 1.0}, {"deep": [[{"é": [AS_GIVEN]}]]}, {}]
    batches: list[list[Any]] = [odd, [], *([row] for row in odd), _rows(0, 25_000), _rows(25_000, 25_001)]
    given = [row for batch in batches for row in batch]
    async with make() as stores, make() as other:
        name = unique("dataset")
        info = await _store(stores.artifacts, name, *batches)
        same(
            (info.kind, info.rows, info.version, info.state), ("dataset", len(given), 1, "complete"), "what was stored"
        )
        same(await other.artifacts.info(name), info, "what anybody is told")
        exactly(await _load(other.artifacts, name), given, "rows")
        exactly(await _load(stores.artifacts, name), given, "rows where they were written")
        same((await _store(other.artifacts, name, _rows(0, 3))).version, 2, "the next version")
        same((await _store(other.artifacts, name)).rows, 0, "rows of a version without any")
        for version, wanted in ((1, given), (2, _rows(0, 3)), (3, []), (None, [])):
            exactly(await _load(stores.artifacts, name, version=version), wanted, f"rows of version {version}")


async def rows_are_seen_all_at_once(make: Make[Stores]) -> None:
    """Nothing of a dataset is visible before its end, and after an exception nothing ever is."""
    async with make() as stores, make() as other:
        for size in (1, 30_000):
            name = unique("dataset")
            for before in (0, 1):
                for fails in (True, False):
                    with suppress(ZeroDivisionError):
                        async with stores.artifacts.open_dataset(name) as dataset:
                            for batch in (_rows(0, size), _rows(size, size + 1)):
                                await dataset.append(batch)
                                same(len(await other.artifacts.versions(name)), before, "versions before its end")
                            same(dataset.rows, size + 1, "rows taken so far")
                            if fails:
                                raise ZeroDivisionError
                    same(len(await other.artifacts.versions(name)), before + (not fails), "versions after its end")
                    same(await other.artifacts.get(name) is None, fails and not before, "whether there is content")
                exactly(await _load(other.artifacts, name), _rows(0, size + 1), "rows")


async def a_row_that_does_not_fit_is_refused(make: Make[Stores]) -> None:
    """A row that is no JSON object or does not fit the columns is an InvalidError; none of its batch is taken."""
    wrong: tuple[Any, ...] = (
        {"n": "5", "text": ""}, {"n": 1.0, "text": ""}, {"n": True, "text": ""}, {"n": None, "text": ""}, {"text": ""},
        {"n": 5}, {"n": 5, "text": "", "other": 1}, {"n": 5, "text": "", "some": "1"}, {}, [], None, "row",
        {"n": 5, "text": "", "some": float("nan")}, {"n": 5, "text": "\ud800"},
    )  # fmt: skip
    async with make() as stores:
        for row in wrong:
            name = unique("dataset")
            call = _store(stores.artifacts, name, _rows(0, 2), [*_rows(2, 4), row, *_rows(4, 5)], columns=_COLUMNS)
            await raises(InvalidError, call, f"the row {row!r}")
            same(await stores.artifacts.info(name), None, "what is there after a row was refused")
        name = unique("dataset")
        async with stores.artifacts.open_dataset(name, columns=_COLUMNS) as dataset:
            await dataset.append(_rows(0, 2))
            for row in wrong:
                await raises(InvalidError, dataset.append([*_rows(2, 4), row]), f"the row {row!r}")
            await dataset.append([{"n": 2, "text": "", "some": None}, {"n": 3, "text": "", "some": 0.5}])
        given = [*_rows(0, 2), {"n": 2, "text": "", "some": None}, {"n": 3, "text": "", "some": 0.5}]
        exactly(await _load(stores.artifacts, name), given, "rows after others were refused")
        await raises(InvalidError, _store(stores.artifacts, name, [{"n": "5"}]), "a row of the next version")
        unknown: Any = {"n": "whole"}
        for columns in (unknown, {"n": 5}, ["n"]):
            call = _store(stores.artifacts, name, columns=columns)
            await raises(InvalidError, call, f"the columns {columns!r}")
        same(len(await stores.artifacts.versions(name)), 1, "versions after all of that")


async def appended_rows_follow_those_before(make: Make[Stores]) -> None:
    """With append=True a version begins with the rows of the one before; of two concurrent appends one is refused."""
    async with make() as stores, make() as other:
        name = unique("dataset")
        info = await _store(stores.artifacts, name, _rows(0, 3), append=True, columns=_COLUMNS)
        same((info.version, info.rows), (1, 3), "a first version that was appended to none")
        for version, (start, stop) in enumerate([(3, 12_000), (12_000, 12_001), (12_001, 12_001)], 2):
            info = await _store(other.artifacts, name, _rows(start, stop), append=True)
            same((info.version, info.rows), (version, stop), "what was appended")
            exactly(await _load(stores.artifacts, name), _rows(0, stop), "rows after some were appended")
        exactly(await _load(other.artifacts, name, version=1), _rows(0, 3), "rows of the version before")
        await raises(InvalidError, _store(other.artifacts, name, [{"n": "x"}], append=True), "a row that does not fit")
        wider = {**_COLUMNS, "new": "boolean?"}
        for columns in ({"n": "integer"}, {**_COLUMNS, "new": "boolean"}, {**wider, "n": "number"}):
            call = _store(other.artifacts, name, append=True, columns=columns)
            await raises(InvalidError, call, f"the columns {columns!r}")
        late = {"n": 0, "text": "", "new": True}
        same((await _store(other.artifacts, name, [late], append=True, columns=wider)).rows, 12_002, "rows with it")
        error = await raises(ConflictError, _overtaken(stores, other, name), "the second of two who append at once")
        same(error.current, 6, "the error's current")
        exactly(await _load(stores.artifacts, name), [*_rows(0, 12_001), late, late], "rows in the end")
        file = await stores.artifacts.create(Artifact(artifact_id=unique("file"), content=b"{}\n"))
        await raises(InvalidError, _store(other.artifacts, file.artifact_id, append=True), "rows behind a file")


async def a_dataset_that_was_repeated_is_one_version(make: Make[Stores]) -> None:
    """A dataset repeated with its op_id is one version; another version than expected is a ConflictError."""
    async with make() as stores:
        loses = LosesAnswers(stores.backend, 0)
        artifacts = type(stores)(loses).artifacts
        for size in (2, 20_000):
            name = unique("dataset")
            loses.lose = 1
            await raises(UnavailableError, _store(artifacts, name, _rows(0, size), op_id="op"), "a lost answer")
            info = await _store(artifacts, name, _rows(0, size), op_id="op")
            same(await stores.artifacts.versions(name), [info], "versions after a repeat")
            error = await raises(ConflictError, _store(artifacts, name, expect=0), "expect=0 at version 1")
            same(error.current, 1, "the error's current")
            same((await _store(artifacts, name, expect=1)).version, 2, "the version that follows the one expected")


async def what_is_no_dataset_has_no_rows(make: Make[Stores]) -> None:
    """Rows of an artifact that is no dataset are an InvalidError, of an unknown artifact a NotFoundError."""
    async with make() as stores:
        name = unique("dataset")
        await raises(NotFoundError, _load(stores.artifacts, name), "rows of an unknown dataset")
        await _store(stores.artifacts, name, _rows(0, 3))
        await raises(NotFoundError, _load(stores.artifacts, name, version=2), "rows of a version that is not there")
        await stores.artifacts.update(Artifact(artifact_id=name, content='{"n": 1}\n'))
        await raises(InvalidError, _load(stores.artifacts, name), "rows of a text")
        exactly(await _load(stores.artifacts, name, version=1), _rows(0, 3), "rows of the version before")
        found = await stores.artifacts.get(name, version=1)
        holds(found is not None and found.content.count(b"\n") == 3, "as content a dataset is a line for each row")
        await stores.artifacts.delete(name)
        await raises(NotFoundError, _load(stores.artifacts, name), "rows of a dataset that was deleted")


async def a_dataset_becomes_a_table(make: Make[Stores]) -> None:
    """A dataset becomes an Arrow table, a pandas frame, a Parquet file of its rows, or UnsupportedError says how."""
    wanted = [{**row, "some": row["n"] / 2} for row in _rows(0, 12_000)]
    async with make() as stores:
        name = unique("dataset")
        await _store(stores.artifacts, name, wanted[:5], wanted[5:], columns=_COLUMNS)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            if find_spec("pyarrow") is None:
                await raises(UnsupportedError, stores.artifacts.to_arrow(name), "a table without the extra for it")
                await raises(UnsupportedError, stores.artifacts.to_parquet(name, path), "a file without the extra")
            else:
                table = await stores.artifacts.to_arrow(name)
                exactly(table.to_pylist(), wanted, "the rows of a table")
                same(
                    [str(field.type) for field in table.schema],
                    ["int64", "string", "double"],
                    "types that were declared",
                )
                same(
                    await stores.artifacts.to_parquet(name, path), await stores.artifacts.info(name), "what is written"
                )
                read: Any = import_module("pyarrow.parquet").read_table
                exactly((await asyncio.to_thread(read, path)).to_pylist(), wanted, "the rows of a Parquet file")
        if find_spec("pyarrow") is None or find_spec("pandas") is None:
            await raises(UnsupportedError, stores.artifacts.to_pandas(name), "a frame without the extra for it")
        else:
            frame = await stores.artifacts.to_pandas(name)
            exactly(frame.to_dict("records"), wanted, "the rows of a frame")


CLAUSES = clauses(__name__)


def _rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"n": number, "text": f"é {number * 7_919 % 10_007:x}"} for number in range(start, stop)]


async def _store(artifacts: Artifacts, name: str, *batches: Iterable[Any], **options: Any) -> ArtifactInfo:
    async with artifacts.open_dataset(name, **options) as dataset:
        for batch in batches:
            await dataset.append(batch)
    if dataset.info is None:
        raise AssertionError("a dataset that was closed does not say what was stored")
    return dataset.info


async def _load(artifacts: Artifacts, name: str, **options: Any) -> list[dict[str, Any]]:
    return [row async for row in artifacts.rows(name, **options)]


async def _overtaken(stores: Stores, other: Stores, name: str) -> None:
    late = {"n": 0, "text": "", "new": True}
    async with stores.artifacts.open_dataset(name, append=True) as dataset:
        await dataset.append([{"n": 1, "text": "lost"}])
        await _store(other.artifacts, name, [late], append=True)
