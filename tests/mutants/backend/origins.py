from __future__ import annotations

from stowfast.abc import Change
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import InvalidError
from stowfast.testing.backend import origins as clauses
from tests.mutants import breaks


class Copies(MemoryBackend):
    """A backend that changes an origin before it stores it."""

    def altered(self, change, origin):
        return change

    async def commit(self, stream, change):
        if change.origin is not None:
            change = self.altered(change, change.origin)
        return await super().commit(stream, change)


@breaks(clauses.a_copied_stream_cannot_be_told_from_its_source)
class NumbersAnew(Copies):
    def altered(self, change, origin):
        entries = [
            type(one)(origin.head.first + number, one.data, one.created_at, one.op_id)
            for number, one in enumerate(origin.entries)
        ]
        return change._replace(origin=origin._replace(entries=entries))


@breaks(clauses.a_copied_stream_cannot_be_told_from_its_source)
class TakesItsOwnTime(Copies):
    def altered(self, change, origin):
        now = origin.head.updated_at + 1
        return change._replace(origin=origin._replace(head=origin.head._replace(updated_at=now)))


@breaks(clauses.a_copied_stream_cannot_be_told_from_its_source)
class BeginsAnotherLife(Copies):
    def altered(self, change, origin):
        return change._replace(origin=origin._replace(head=origin.head._replace(incarnation="another")))


@breaks(clauses.a_copy_remembers_the_calls_of_its_source)
class ForgetsCalls(Copies):
    def altered(self, change, origin):
        return change._replace(origin=origin._replace(calls={}))


@breaks(clauses.calls_are_those_that_no_entry_tells, clauses.a_copy_remembers_the_calls_of_its_source)
class TellsNoCalls(MemoryBackend):
    async def remembered(self, stream):
        return {}


@breaks(clauses.a_copy_comes_in_parts)
class TakesOnePart(Copies):
    def altered(self, change, origin):
        return change._replace(expect=0)


@breaks(clauses.a_copy_comes_in_parts)
class KeepsWhatWasCut(Copies):
    def altered(self, change, origin):
        return change._replace(cut_from=None)


@breaks(clauses.a_copy_never_mixes_with_another_stream)
class ReplacesWhatLives(Copies):
    def altered(self, change, origin):
        return change._replace(delete=True, expect=None)


@breaks(clauses.an_origin_outside_its_bounds_is_refused)
class SortsEntries(Copies):
    def altered(self, change, origin):
        entries = sorted(origin.entries, key=lambda one: one.position)
        return change._replace(origin=origin._replace(entries=entries))


@breaks(clauses.an_origin_outside_its_bounds_is_refused)
class StoresBeforeItChecks(MemoryBackend):
    async def commit(self, stream, change):
        try:
            return await super().commit(stream, change)
        except InvalidError:
            if change.origin is not None:
                await super().commit(stream, Change([b"x"]))
            raise


@breaks(clauses.a_copied_blob_lives_as_long_as_its_entry)
class LinksNothing(Copies):
    def altered(self, change, origin):
        return change._replace(blobs=())
