"""Broken artifacts: datasets, and URLs."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from importlib import import_module

from stowfast import Artifacts, InvalidError, NotFoundError, UnsupportedError
from stowfast.stores.artifacts.datasets.dataset import DatasetWriter
from stowfast.testing.artifacts import datasets, links
from tests.mutants import breaks, ignores
from tests.mutants.stores import ForgetsOpIds, IgnoresExpect

breaks(datasets.a_dataset_that_was_repeated_is_one_version)(ForgetsOpIds)
breaks(datasets.a_dataset_that_was_repeated_is_one_version, datasets.appended_rows_follow_those_before)(IgnoresExpect)


@breaks(datasets.rows_come_back_as_they_were_given)
class SortsKeys(Artifacts):
    async def rows(self, artifact_id, **options):
        async for row in super().rows(artifact_id, **options):
            yield dict(sorted(row.items()))


@breaks(datasets.rows_come_back_as_they_were_given)
class MakesFloats(Artifacts):
    async def rows(self, artifact_id, **options):
        async for row in super().rows(artifact_id, **options):
            yield {key: float(value) if type(value) is int else value for key, value in row.items()}


@breaks(datasets.rows_come_back_as_they_were_given, datasets.what_is_no_dataset_has_no_rows)
class HasTheNewestRows(Artifacts):
    async def rows(self, artifact_id, *, version=None):
        async for row in super().rows(artifact_id):
            yield row


class DropsEmptyRows(DatasetWriter):
    async def append(self, rows):
        await super().append([row for row in rows if row or not isinstance(row, dict)])


class AppendsOneByOne(DatasetWriter):
    async def append(self, rows):
        for row in rows:
            await super().append([row])


def writes_with(kind):
    @asynccontextmanager
    async def open_dataset(self, artifact_id, **options):
        async with Artifacts.open_dataset(self, artifact_id, **options) as dataset:
            dataset.__class__ = kind
            yield dataset

    return open_dataset


@breaks(datasets.rows_come_back_as_they_were_given)
class HasNoEmptyRows(Artifacts):
    open_dataset = writes_with(DropsEmptyRows)


@breaks(datasets.a_row_that_does_not_fit_is_refused)
class TakesThoseBefore(Artifacts):
    open_dataset = writes_with(AppendsOneByOne)


ignores(Artifacts, "open_dataset", "columns", datasets.a_row_that_does_not_fit_is_refused)


@breaks(datasets.rows_come_back_as_they_were_given)
class HasTheLastBatchFirst(Artifacts):
    @asynccontextmanager
    async def open_dataset(self, artifact_id, **options):
        async with super().open_dataset(artifact_id, **options) as dataset:
            batches, append = [], dataset.append

            async def hold(rows):
                batches.append(rows)

            vars(dataset)["append"] = hold
            yield dataset
            for rows in reversed(batches):
                await append(rows)


@breaks(datasets.rows_are_seen_all_at_once)
class ShowsRowsAtOnce(Artifacts):
    @asynccontextmanager
    async def open_dataset(self, artifact_id, **options):
        async with super().open_dataset(artifact_id):
            pass
        async with super().open_dataset(artifact_id, **options) as dataset:
            yield dataset


@breaks(datasets.rows_are_seen_all_at_once)
class KeepsTheRowsBefore(Artifacts):
    @asynccontextmanager
    async def open_dataset(self, artifact_id, **options):
        failed = None
        async with super().open_dataset(artifact_id, **options) as dataset:
            try:
                yield dataset
            except Exception as error:  # noqa: BLE001 - raised below
                failed = error
        if failed is not None:
            raise failed


ignores(Artifacts, "open_dataset", "append", datasets.appended_rows_follow_those_before)


@breaks(datasets.appended_rows_follow_those_before)
class PutsThemBefore(Artifacts):
    @asynccontextmanager
    async def open_dataset(self, artifact_id, *, append=False, **options):
        before = [row async for row in self.rows(artifact_id)] if append and await self.info(artifact_id) else []
        async with super().open_dataset(artifact_id, **options) as dataset:
            yield dataset
            await dataset.append(before)


@breaks(datasets.what_is_no_dataset_has_no_rows)
class HasNoneOfTheUnknown(Artifacts):
    async def rows(self, artifact_id, **options):
        with suppress(NotFoundError):
            async for row in super().rows(artifact_id, **options):
                yield row


@breaks(datasets.what_is_no_dataset_has_no_rows)
class HasNoneOfAText(Artifacts):
    async def rows(self, artifact_id, **options):
        with suppress(InvalidError):
            async for row in super().rows(artifact_id, **options):
                yield row


class HasUrls(Artifacts):
    async def url(self, artifact_id, *, version=None, **options):
        found = await self.get(artifact_id, version=version)
        if found is None:
            raise NotFoundError("there is no such version")
        return data_url(found.content)


def data_url(body):
    return f"data:application/octet-stream,{''.join(f'%{byte:02x}' for byte in body)}"


@breaks(links.a_version_has_a_url_or_the_place_has_none)
class LinksTheNewest(HasUrls):
    async def url(self, artifact_id, *, version=None, **options):
        await super().url(artifact_id, version=version, **options)
        return await super().url(artifact_id, **options)


@breaks(links.a_version_has_a_url_or_the_place_has_none)
class LinksWhatIsGone(HasUrls):
    async def url(self, artifact_id, **options):
        with suppress(NotFoundError):
            return await super().url(artifact_id, **options)
        return data_url(b"")


@breaks(links.a_version_has_a_url_or_the_place_has_none)
class LinksToNowhere(HasUrls):
    async def url(self, artifact_id, **options):
        await super().url(artifact_id, **options)
        return "memory:" + artifact_id


@breaks(links.a_version_has_a_url_or_the_place_has_none)
class NeverLooks(Artifacts):
    async def url(self, artifact_id, **options):
        raise UnsupportedError("this place has no links")


@breaks(datasets.a_dataset_becomes_a_table)
class GuessesTypes(Artifacts):
    async def to_arrow(self, artifact_id, **options):
        table = await super().to_arrow(artifact_id, **options)
        return type(table).from_pylist([{**row, "n": float(row["n"])} for row in table.to_pylist()])


@breaks(datasets.a_dataset_becomes_a_table)
class LosesTheLastRows(Artifacts):
    async def to_parquet(self, artifact_id, path, **options):
        table = await self.to_arrow(artifact_id, **options)
        import_module("pyarrow.parquet").write_table(table.slice(0, len(table) - 1), path)
        return await self.info(artifact_id)


@breaks(datasets.a_dataset_becomes_a_table)
class FramesWithoutOrder(Artifacts):
    async def to_pandas(self, artifact_id, **options):
        return (await super().to_pandas(artifact_id, **options))[::-1]
