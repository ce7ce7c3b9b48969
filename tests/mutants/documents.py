"""Broken documents, and broken backends below documents."""

from __future__ import annotations

from dataclasses import replace

from stowfast import ConflictError, Documents
from stowfast.stores.documents.body import write_document
from stowfast.testing.documents import lists, puts
from tests.mutants import breaks
from tests.mutants.stores import (
    Alters,
    CutsInsteadOfDeleting,
    ExpiresLate,
    ForgetsOpIds,
    IgnoresExpect,
    KeepsTheFirstTtl,
    ListsAll,
    ListsByName,
    LooksAndThenWrites,
    MixesLives,
)

breaks(puts.a_lost_answer_doubles_no_put)(ForgetsOpIds)
breaks(puts.a_put_replaces_the_version_it_expects)(IgnoresExpect)
breaks(puts.a_put_replaces_the_version_it_expects)(MixesLives)
breaks(puts.of_racing_puts_that_expect_the_same_one_wins, puts.updates_of_a_document_all_count)(LooksAndThenWrites)
breaks(puts.a_deleted_document_leaves_nothing)(CutsInsteadOfDeleting)
breaks(puts.a_document_expires)(ExpiresLate)
breaks(puts.a_document_expires)(KeepsTheFirstTtl)
breaks(lists.documents_are_found_by_metadata)(ListsAll)
breaks(lists.documents_are_listed_with_their_data)(ListsByName)


@breaks(puts.a_document_is_returned_as_given, puts.an_update_returns_the_stored_document)
class SortsKeysOfDocuments(Documents):
    async def get(self, document_id):
        found = await super().get(document_id)
        if found is not None and isinstance(found.data, dict):
            found.data = dict(sorted(found.data.items()))
        return found and replace(found, version=found.version + (found.data == [0]))


@breaks(puts.a_document_outside_json_is_refused)
class WritesStrings(Documents):
    async def put(self, document_id, data, **options):
        try:
            write_document(data, {})
        except ValueError:
            data = str(type(data))
        return await super().put(document_id, data, **options)


@breaks(puts.look_alike_documents_are_different)
class FoldsIds(Documents):
    async def put(self, document_id, data, **options):
        return await super().put(document_id.lower(), data, **options)

    async def get(self, document_id):
        return await super().get(document_id.lower())


@breaks(puts.a_put_replaces_the_version_it_expects)
class ForgetsTheCurrent(Documents):
    async def put(self, document_id, data, **options):
        try:
            return await super().put(document_id, data, **options)
        except ConflictError as error:
            raise ConflictError(str(error)) from error


@breaks(puts.an_update_returns_the_stored_document)
class StoresBeforeAnError(Documents):
    async def update(self, document_id, change, **options):
        try:
            return await super().update(document_id, change, **options)
        except ZeroDivisionError:
            await self.put(document_id, None)
            raise


@breaks(puts.a_deleted_document_leaves_nothing)
class DeletesTheDataOnly(Documents):
    async def delete(self, document_id, **options):
        if await self.get(document_id) is not None:
            await self.put(document_id, None)


@breaks(lists.documents_are_listed_with_their_data)
class ListsSmallDocuments(Documents):
    async def list(self, **options):
        page = await super().list(**options)
        return replace(page, items=[one for one in page.items if len(str(one.data)) < 1_000])


@breaks(lists.documents_are_found_by_metadata)
class KeepsOldLabels(Alters):
    def altered(self, change):
        return change._replace(labels=None) if change.labels == {"kind": '"new"'} else change
