from __future__ import annotations

import unicodedata
from fnmatch import fnmatchcase
from urllib.parse import unquote

from stowfast.abc import ALL, Listing, Query
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import InvalidError
from stowfast.testing.backend import names as names_clauses
from tests.mutants import breaks

_ALL = 1_000_000


class _Renames(MemoryBackend):
    def rename(self, name):
        return name

    async def commit(self, stream, change):
        return await super().commit(self.rename(stream), change)

    async def read(self, stream, window=ALL):
        return await super().read(self.rename(stream), window)

    async def heads(self, streams):
        return await super().heads([self.rename(stream) for stream in streams])

    async def write_blob(self, stream, chunks):
        return await super().write_blob(self.rename(stream), chunks)


@breaks(names_clauses.a_name_outside_its_bounds_is_refused)
class TakesAnyName(_Renames):
    def rename(self, name):
        return ascii(name)[:100]


@breaks(names_clauses.a_name_outside_its_bounds_is_refused)
class ChecksNamesOfCommitsOnly(MemoryBackend):
    async def write_blob(self, stream, chunks):
        return await super().write_blob("a name", chunks)


@breaks(names_clauses.a_long_name_is_a_name)
class FileNamesOf255(_Renames):
    def rename(self, name):
        return name if len(name) > 1_200 or "\0" in name else name[:255]


@breaks(names_clauses.no_two_names_are_taken_for_one)
class IgnoresCase(_Renames):
    def rename(self, name):
        return name.lower()


@breaks(names_clauses.no_two_names_are_taken_for_one)
class NormalisesUnicode(_Renames):
    def rename(self, name):
        return unicodedata.normalize("NFC", name)


@breaks(names_clauses.no_two_names_are_taken_for_one)
class NoSlashes(_Renames):
    def rename(self, name):
        return name.replace("/", "_")


@breaks(names_clauses.no_two_names_are_taken_for_one)
class UnquotesNames(_Renames):
    def rename(self, name):
        return unquote(name).replace("\0", "%00")


@breaks(names_clauses.no_two_names_are_taken_for_one)
class StripsNames(_Renames):
    def rename(self, name):
        return name.rstrip(" .")


@breaks(names_clauses.a_listing_is_in_the_order_of_code_points)
class OrdersAsUTF16(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query)
        return Listing(sorted(page.streams, key=lambda one: one.name.encode("utf-16-be")), page.after)


@breaks(names_clauses.a_listing_is_in_the_order_of_code_points)
class OrdersAsPeopleDo(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query)
        return Listing(sorted(page.streams, key=lambda one: one.name.casefold()), page.after)


@breaks(names_clauses.a_listing_holds_exactly_what_begins_so)
class PrefixesArePatterns(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(Query("", limit=_ALL))
        return Listing([one for one in page.streams if fnmatchcase(one.name, f"{query.prefix}*")], None)


@breaks(names_clauses.a_listing_holds_exactly_what_begins_so)
class PrefixesEndAtTheLastCharacter(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(Query("", limit=_ALL))
        return Listing([one for one in page.streams if query.prefix <= one.name < f"{query.prefix}\U0010ffff"], None)


@breaks(names_clauses.a_listing_by_recency_shows_the_last_changed_first)
class OnlyAppendsAreRecent(MemoryBackend):
    async def commit(self, stream, change):
        before = (await self.heads([stream]))[0]
        receipt = await super().commit(stream, change)
        kept = self._streams[stream]
        if before and kept.head and not change.entries:
            kept.head = kept.head._replace(updated_at=before.updated_at)
        return receipt


@breaks(names_clauses.pages_hold_every_stream_once)
class PagesLoseTheirLast(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query)
        return Listing(page.streams[:-1], page.after) if page.after else page


@breaks(names_clauses.pages_hold_every_stream_once)
class PagesHaveNoLast(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query)
        return page if page.after else Listing(page.streams, query.after or f"{2**62} a")


@breaks(names_clauses.pages_by_name_hold_what_was_there_throughout)
class PagesByOffset(MemoryBackend):
    async def streams(self, query):
        streams = (await super().streams(query._replace(after=None, limit=_ALL))).streams
        end = int(query.after or 0) + query.limit
        return Listing(streams[end - query.limit : end], str(end) if end < len(streams) else None)


@breaks(names_clauses.a_listing_holds_to_every_label_asked)
class HoldsToTheFirstLabel(MemoryBackend):
    async def streams(self, query):
        return await super().streams(query._replace(where=dict(list((query.where or {}).items())[:1])))


@breaks(names_clauses.a_listing_holds_to_every_label_asked)
class FiltersThePage(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query._replace(where=None))
        found = await super().streams(Query(query.prefix, where=query.where, limit=_ALL))
        names = {one.name for one in found.streams}
        left = [one for one in page.streams if one.name in names]
        return Listing(left, page.after if left else None)


@breaks(names_clauses.a_cursor_of_another_list_is_refused)
class BeginsAgainWithABadCursor(MemoryBackend):
    async def streams(self, query):
        try:
            return await super().streams(query)
        except InvalidError:
            return await super().streams(query._replace(after=None))


@breaks(names_clauses.a_listing_has_the_heads_that_are_asked_for)
class AlwaysHasHeads(MemoryBackend):
    async def streams(self, query):
        return await super().streams(query._replace(heads=True))


@breaks(names_clauses.a_listing_has_the_heads_that_are_asked_for)
class HasTheHeadsOfTheFirstTime(MemoryBackend):
    def __init__(self):
        super().__init__()
        self.seen = {}

    async def streams(self, query):
        page = await super().streams(query)
        lines = [
            one._replace(head=self.seen.setdefault(one.name, one.head)) if query.heads else one for one in page.streams
        ]
        return Listing(lines, page.after)
