"""Clauses of the rules of retention: kept in the backend, told before they are carried out, refused without sense."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, UnavailableError, UnsupportedError
from stowfast.records import Retention, RetentionRule, TaskState
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.data.messages import say
from stowfast.testing.data.streams import counted, fill, forget, streams_of, swept
from stowfast.testing.faults import LosesAnswers

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_HOUR: Final = timedelta(hours=1)


async def a_dry_run_removes_nothing(make: Make[Stores]) -> None:
    """`due` and a dry run tell exactly the removals of the next sweep, and change nothing; a second sweep has none."""
    async with make() as stores:
        token = unique("rule")
        for name in ("one", "other"):
            await fill(stores, f"{token}/{name}", 5)
        rules = (
            ("messages", Retention(count=2)), ("artifacts", Retention(versions=3)), ("tasks", Retention(versions=1)),
        )  # fmt: skip
        try:
            for kind, retention in rules:
                await stores.rules.set(kind, retention, prefix=f"{token}/")
            before = [await stores.backend.read(one.name) for one in await streams_of(stores, token)]
            due = [one async for one in stores.rules.due()]
            told = sorted((one.rule.kind, one.id.removeprefix(token), one.entries, one.whole) for one in due)
            wanted = [
                (kind, f"/{name}", gone, False)
                for kind, gone in (("artifacts", 2), ("messages", 3), ("tasks", 4))
                for name in ("one", "other")
            ]
            same(told, wanted, "removals due")
            same((await stores.sweep(dry_run=True)).entries, 18, "entries in a dry run")
            after = [await stores.backend.read(one.name) for one in await streams_of(stores, token)]
            same(after, before, "the streams after a dry run")
            async with make() as other:
                same((await other.sweep()).entries, 18, "entries that a sweep elsewhere removes")
            same((await stores.sweep()).entries, 0, "entries of a second sweep")
            for name in ("one", "other"):
                same(await counted(stores, f"{token}/{name}"), [2, 3, 1], "messages and versions")
        finally:
            await forget(stores)


async def rules_are_kept_in_the_backend(make: Make[Stores]) -> None:
    """Every opening finds the rules, also those of a scope and of metadata; one of the same target takes its place."""
    id, where = unique("rule"), {"user": "ada", "n": 1}
    async with make() as stores, make() as other:
        scope = stores.within("rules")
        try:
            for messages, text in ((stores.messages, "out"), (scope.messages, "in")):
                for user in ("ada", "bob"):
                    context = f"{id}/{user}"
                    await messages.add_messages(context, [say(text)] * 5, metadata={"user": user, "n": 1, "m": 2})
            lossy = type(stores)(LosesAnswers(stores.backend))
            await raises(UnavailableError, lossy.rules.set("messages", Retention(count=9), prefix=id), "a lost answer")
            await lossy.rules.set("messages", Retention(count=9), prefix=id)
            await stores.rules.set("messages", Retention(count=3, age=_HOUR), prefix=id)
            await stores.rules.set("messages", Retention(count=2), prefix=id, where=where)
            await stores.rules.set("messages", Retention(count=1), prefix=id, where=where, scope="rules")
            wanted = [
                RetentionRule("messages", Retention(count=3, age=_HOUR), id),
                RetentionRule("messages", Retention(count=2), id, where),
                RetentionRule("messages", Retention(count=1), id, where, "rules"),
            ]
            same(await other.rules.list(), wanted, "the rules of another opening")
            await swept(other)
            found = [
                await messages.count(f"{id}/{user}")
                for messages in (stores.messages, scope.messages)
                for user in ("ada", "bob")
            ]
            same(found, [2, 3, 1, 5], "messages outside and inside the scope, of ada and of bob")
            same(await other.rules.remove("messages", prefix=id), True, "a removed rule")
            same(await other.rules.remove("messages", prefix=id), False, "a rule that is gone")
            same(await stores.rules.list(), wanted[1:], "the rules that stay")
            await raises(UnsupportedError, scope.rules.set("tasks", Retention(age=_HOUR)), "a rule of a scope")
        finally:
            await forget(stores)
        same(await stores.rules.list(), [], "the rules after all were removed")


async def a_rule_without_sense_is_refused(make: Make[Stores]) -> None:
    """A rule needs a known kind, and a bound of that kind of 1 or more; one that is refused is not stored."""
    async with make() as stores:
        before = await stores.rules.list()
        wrong: tuple[tuple[Any, ...], ...] = (
            ("documents", Retention(age=_HOUR)), (None, Retention(age=_HOUR)), ("messages", Retention()),
            ("messages", Retention(versions=1)), ("artifacts", Retention(count=1)), ("tasks", Retention(bytes=1)),
            ("messages", Retention(count=0)), ("messages", Retention(bytes=-1)), ("messages", Retention(age=-_HOUR)),
            ("messages", {"count": 1}), ("messages", Retention(count=True)),
        )  # fmt: skip
        for kind, retention in wrong:
            await raises(InvalidError, stores.rules.set(kind, retention), f"{kind}, {retention}")
        options: tuple[Any, ...] = ({"prefix": "\0"}, {"where": {"a": []}}, {"where": 1}, {"scope": ""}, {"prefix": 1})
        for option in options:
            await raises(InvalidError, stores.rules.set("messages", Retention(count=1), **option), str(option))
        for own in (Retention(count=1), Retention(bytes=1)):
            call = stores.tasks.save(TaskState(task_id=unique("rule")), retention=own)
            await raises(InvalidError, call, f"the retention of a task by {own}")
        same(await stores.rules.list(), before, "the rules")


CLAUSES = clauses(__name__)
