"""Clauses of scopes: a wall between tenants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, NotFoundError, UnsupportedError
from stowfast.records import Artifact, TaskState
from stowfast.testing.artifacts.bodies import fetch
from stowfast.testing.backend.names import ROOM_FOR_A_PREFIX
from stowfast.testing.clause import clauses, either, raises, same, unique
from stowfast.testing.protocols import LOOK_ALIKES

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_SCOPES: Final = ("a", "b", "ab", "a/b", "a:b", "a%3Ab", "a%", "messages", "documents/a", "é")
_SECONDS: Final = 10.0


async def a_scope_is_a_wall(make: Make[Stores]) -> None:
    """An id names something else in each scope, nested ones too, and in no scope; lists show their own scope alone."""
    token = unique("scope")
    async with make() as stores:
        scopes = [stores.within(f"{token}{name}") for name in _SCOPES]
        scopes += [scopes[0].within(name) for name in _SCOPES]
        for number, scope in enumerate([stores, *scopes]):
            await _fill(scope, token, number)
        await stores.messages.add_message(f"outside {token}", {})
        for number, scope in enumerate([stores, *scopes]):
            await _holds(scope, token, number)
        for scope in scopes:
            same(await scope.messages.get_messages(f"outside {token}"), [], "messages outside, read in a scope")
            same(
                (await scope.messages.contexts(prefix="outside")).items, [], "conversations outside, listed in a scope"
            )
    async with make() as stores:
        await _holds(stores.within(f"{token}a").within("a:b"), token, 1 + len(_SCOPES) + _SCOPES.index("a:b"))


async def every_id_is_valid_in_a_scope(make: Make[Stores]) -> None:
    """Ids of every form, up to the longest, work in a scope; a scope's name has bounds."""
    async with make() as stores:
        scope = stores.within(unique("s").ljust(150 - ROOM_FOR_A_PREFIX, "x"))
        for context in (*LOOK_ALIKES, "x" * 1_024, "\u20ac" * 341, "../other:messages/a", ":", "/"):
            await scope.messages.add_message(context, {"in": context})
            same(await scope.messages.get_messages(context), [{"in": context}], f"messages of {context[:30]!r}")
            same(await stores.messages.count(context), 0, f"messages of {context[:30]!r} outside")
        number: Any = 7
        for wrong in ("", "x" * 161, "/" * 60, "\0", "\ud800", number):
            await raises(InvalidError, _within(stores, wrong), f"a scope named {str(wrong)[:30]!r}")
        await raises(InvalidError, _within(stores.within("x" * 100), "y" * 100), "scopes with too long names together")


async def a_cursor_of_another_scope_is_refused(make: Make[Stores]) -> None:
    """The `next` of a page of one scope is an InvalidError in another scope, and in the stores around it."""
    async with make() as stores:
        token = unique("scope")
        one, other = stores.within(f"{token}1"), stores.within(f"{token}2")
        for scope in (stores, one, other):
            for number in range(3):
                await scope.documents.put(f"{token}/{number}", number)
        for order in ("id", "recent"):

            async def page(scope: Stores, after: str | None, order: Any = order) -> str | None:
                return (await scope.documents.list(prefix=token, order=order, limit=1, after=after)).next

            cursors = [(scope, await page(scope, None)) for scope in (stores, one, other)]
            for scope, cursor in cursors:
                await page(scope, cursor)
                for elsewhere, _ in cursors:
                    if elsewhere is not scope:
                        await raises(InvalidError, page(elsewhere, cursor), f"a cursor by {order} of another scope")


async def a_watch_stays_in_its_scope(make: Make[Stores]) -> None:
    """A watch in a scope ends its wait for a message of the scope, and never shows a message outside."""
    async with make() as stores:
        token = unique("scope")
        one, other = stores.within(f"{token}1"), stores.within(f"{token}2")
        watch = one.messages.watch("chat", after=-1)
        news = asyncio.ensure_future(anext(watch))
        for scope in (stores, other):
            await scope.messages.add_message("chat", {"in": "another scope"})
        await one.messages.add_message("chat", {"in": "this scope"})
        same((await asyncio.wait_for(news, _SECONDS)).message, {"in": "this scope"}, "the news of a watch")
        await watch.aclose()
        await raises(UnsupportedError, one.sweep(), "a sweep of a scope")


async def a_url_stays_in_its_scope(make: Make[Stores]) -> None:
    """A URL returns the content of its own scope; a scope without the artifact has no URL of it."""
    async with make() as stores:
        token = unique("scope")
        one, other = stores.within(f"{token}1"), stores.within(f"{token}2")
        for scope, content in ((stores, b"outside"), (one, b"inside")):
            await scope.artifacts.create(Artifact(artifact_id=token, content=content))
        for scope, content in ((stores, b"outside"), (one, b"inside")):
            url = await either(scope.artifacts.url(token), UnsupportedError)
            if not isinstance(url, UnsupportedError):
                same(await fetch(url), content, "what a URL gives")
        await raises(NotFoundError, other.artifacts.url(token), "a URL of an artifact in another scope")


async def delete_all_erases_one_scope(make: Make[Stores]) -> None:
    """`delete_all` removes everything in a scope and in the scopes inside, and nothing outside."""
    async with make() as stores:
        token = unique("scope")
        one, other = stores.within(f"{token}a"), stores.within(f"{token}ab")
        inner = one.within("a")
        for number, scope in enumerate((stores, one, other, inner)):
            await _fill(scope, token, number)
        same(await one.delete_all(), 8, "deleted streams")
        for gone in (one, inner):
            same(await gone.messages.get_messages(token), [], "messages")
            same(await gone.artifacts.get(token), None, "an artifact")
            same(await gone.tasks.load(token), None, "a task")
            same((await gone.documents.list()).items, [], "documents")
        for number, scope in ((0, stores), (2, other)):
            await _holds(scope, token, number)
        same(await one.delete_all(), 0, "a second time")
        await one.close()
        await _fill(one, token, 9)
        await _holds(one, token, 9)


async def _within(stores: Stores, name: str) -> None:
    stores.within(name)


async def _fill(stores: Stores, token: str, number: int) -> None:
    await stores.messages.add_message(token, {"in": number})
    await stores.artifacts.create(Artifact(artifact_id=token, content=f"in {number}"))
    await stores.tasks.save(TaskState(task_id=token, data=number))
    await stores.documents.put(token, number)


async def _holds(stores: Stores, token: str, number: int) -> None:
    same(await stores.messages.get_messages(token), [{"in": number}], "messages of a scope")
    same([one.context_id for one in await stores.messages.contexts(prefix=token)], [token], "conversations of a scope")
    artifact, task = await stores.artifacts.get(token), await stores.tasks.load(token)
    same(artifact and artifact.content, f"in {number}", "an artifact of a scope")
    same(task and task.data, number, "a task of a scope")
    same(
        [(one.document_id, one.data) for one in await stores.documents.list(prefix=token)],
        [(token, number)],
        "documents",
    )


CLAUSES = clauses(__name__)
