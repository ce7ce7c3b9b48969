"""Broken scopes."""

from __future__ import annotations

from stowfast import Scope, Stores
from stowfast.errors import InvalidError
from stowfast.scopes import ScopedBackend
from stowfast.testing import scopes
from stowfast.wrappers import Wrapper
from tests.mutants import breaks


def scoped(kind: type[ScopedBackend]) -> type[Stores]:
    """Make stores with broken scopes."""

    class WithScopes(Stores):
        def within(self, scope: str) -> Scope:
            made = Scope(kind(self.backend, scope), retention=self.tasks.retention)
            made.within = WithScopes.within.__get__(made)  # type: ignore[method-assign]
            return made

    WithScopes.__name__, WithScopes.__module__ = kind.__name__, kind.__module__
    return WithScopes


@breaks(scopes.a_scope_is_a_wall)
@scoped
class QuotesNothing(ScopedBackend):
    def __init__(self, backend, scope):
        super().__init__(backend, scope)
        self.prefix = f"{scope}:"


@breaks(scopes.a_scope_is_a_wall, scopes.delete_all_erases_one_scope, scopes.a_url_stays_in_its_scope)
@scoped
class ReadsFromTheOuterScope(ScopedBackend):
    async def read(self, stream, window=None):
        found = await super().read(stream, *([window] if window else []))
        return found if found.head is not None else await self.backend.read(stream, *([window] if window else []))

    async def streams(self, query):
        found = await super().streams(query)
        return found if found.streams or not query.prefix else await self.backend.streams(query)


@breaks(scopes.every_id_is_valid_in_a_scope)
@scoped
class LeavesNoRoom(ScopedBackend):
    async def commit(self, stream, change):
        if len(stream.encode()) > 1_000:
            raise InvalidError("too long")
        return await super().commit(stream, change)


@breaks(scopes.a_cursor_of_another_scope_is_refused)
class TakesAnyCursor(Wrapper):
    async def streams(self, query):
        try:
            return await super().streams(query)
        except InvalidError:
            return await super().streams(query._replace(after=None))


@breaks(scopes.a_watch_stays_in_its_scope)
@scoped
class SweepsTheWholeStore(ScopedBackend):
    async def sweep(self, *, dry_run=False):
        return await self.backend.sweep(dry_run=dry_run)


@breaks(scopes.delete_all_erases_one_scope)
@scoped
class DeletesTheFirstPage(ScopedBackend):
    async def streams(self, query):
        return await super().streams(query if query.prefix else query._replace(prefix="messages/"))


@breaks(scopes.delete_all_erases_one_scope)
class ClosesTheBackend(Stores):
    def within(self, scope: str) -> Scope:
        made = super().within(scope)
        made.close = self.backend.close  # type: ignore[method-assign]
        return made
