"""Clauses of retention by rule: data outside the bounds goes, and nothing else, beside writers and workers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from stowfast.records import Artifact, Retention, TaskState
from stowfast.stores.codec import encode, to_time
from stowfast.testing.clause import clauses, same, tick, unique
from stowfast.testing.data.messages import TOOLS, say
from stowfast.testing.data.streams import counted, fill, forget, streams_of, swept
from stowfast.testing.faults import At
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend, Change, Receipt
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_HOUR: Final = timedelta(hours=1)
_MOMENT: Final = timedelta(microseconds=1)


async def a_rule_keeps_the_newest_messages(make: Make[Stores]) -> None:
    """A rule keeps so many messages, or bytes of them, from the newest back, under their positions; nothing else goes.

    Metadata, summary, the order of lists and other conversations stay.
    """
    async with make() as stores:
        token = unique("rule")
        for name in ("b", "a", "short"):
            await stores.messages.add_messages(f"{token}/{name}", map(say, range(2 if name == "short" else 10)))
            await stores.messages.set_metadata(f"{token}/{name}", {"name": name})
        await stores.messages.pop_message(f"{token}/a")
        await stores.messages.add_message(f"{token}/a", say(10))
        await stores.messages.compact(f"{token}/a", keep_last=5, summary=say("sum"))
        await stores.messages.add_messages(f"{token[:-1]}", map(say, range(10)))
        order = [one.context_id for one in await stores.messages.contexts(prefix=f"{token}/")]
        two = sum(len(encode(say(number), "a message")) for number in (9, 10))
        for retention, kept, lost in (
            (Retention(count=99, bytes=10**6), 10, 0),
            (Retention(count=4), 4, 12),
            (Retention(bytes=two), 2, 4),
            (Retention(bytes=1), 1, 3),
        ):
            same(await _under(stores, retention, f"{token}/"), lost, f"messages removed under {retention}")
            for name, numbers in (("b", [*range(10)]), ("a", [*range(9), 10]), ("short", [0, 1])):
                wanted, context = numbers[-kept:], f"{token}/{name}"
                found = [(one.position, one.message) async for one in stores.messages.entries(context)]
                same(found, [(number, say(number)) for number in wanted], f"the messages of {name} under {retention}")
                info = await stores.messages.info(context)
                same(info and (info.count, info.metadata), (len(wanted), {"name": name}), f"the info of {name}")
        shown = await stores.messages.get_messages(f"{token}/a")
        same(shown, [say("sum"), say(10)], "the summary before the messages that stay")
        same([one.context_id for one in await stores.messages.contexts(prefix=f"{token}/")], order, "the list")
        same(await stores.messages.count(token[:-1]), 10, "messages of a conversation outside the rule")
        same(await stores.messages.add_message(f"{token}/b", say("x")), 10, "the position of the next message")


async def a_rule_cuts_no_call_from_its_result(make: Make[Stores]) -> None:
    """A rule keeps more messages than asked for, rather than a result without its call or a call without its result."""
    async with make() as stores:
        for maker, write in TOOLS.items():
            calls, results = write(("x", "y"), ()), write((), ("x", "y"))
            pair = [*calls, *results]
            context = unique("rule")
            await stores.messages.add_messages(context, [say(0), *pair, say(1), say(2)])
            await _under(stores, Retention(count=3), context)
            found = await stores.messages.get_messages(context)
            same(found, [*pair, say(1), say(2)], f"{maker}: a pair at the bound")
            await stores.messages.add_messages(context, calls)
            await _under(stores, Retention(count=1), context)
            same(await stores.messages.get_messages(context), calls, f"{maker}: calls without results so far")
            await stores.messages.add_messages(context, [*results, say(3)])
            await _under(stores, Retention(count=2), context)
            same(await stores.messages.get_messages(context), [*calls, *results, say(3)], f"{maker}: their results")


async def a_rule_removes_the_old(make: Make[Stores]) -> None:
    """With an age, older messages and versions go, and a stream without a change for so long goes whole."""
    async with make() as stores:
        token = unique("rule")
        for name in ("old", "kept"):
            await fill(stores, f"{token}/{name}")
        await tick(stores.backend)
        await fill(stores, f"{token}/kept")
        at = At(stores.backend, min(await _moments(stores, f"{token}/kept")) + _HOUR)
        for kind in ("messages", "artifacts", "tasks"):
            await stores.rules.set(kind, Retention(age=_HOUR), prefix=f"{token}/")
        over = type(stores)(at)
        try:
            same({one.id for one in await swept(over)}, {f"{token}/old", f"{token}/kept"}, "streams with old data")
            for name, wanted in (("old", 0), ("kept", 1)):
                same(await counted(stores, f"{token}/{name}"), [wanted] * 3, f"messages and versions of {name}")
            at.moment = max(await _moments(stores, token)) + _HOUR
            same(len(await swept(over)) < 3, True, "the newest stays until it is over an hour old")
            at.moment += _MOMENT
            same({one.whole for one in await swept(over)}, {True}, "the rest, a moment later")
            same(await counted(stores, f"{token}/kept"), [0] * 3, "messages and versions")
            same(await swept(over), [], "removals of a sweep after it")
        finally:
            await forget(stores)


async def a_rule_removes_old_versions(make: Make[Stores]) -> None:
    """A rule keeps the newest versions of artifacts and tasks under their numbers; a task's own retention goes before.

    The newest version stays, however large it is.
    """
    async with make() as stores:
        one, own = unique("rule"), unique("rule")
        for number in range(5):
            for id, retention in ((one, None), (own, Retention(versions=4))):
                await stores.tasks.save(TaskState(task_id=id, data=number), retention=retention)
            await stores.artifacts.put(Artifact(artifact_id=one, content=b"%d" % number * 40_000))
        info = await stores.tasks.info(one)
        for kind in ("artifacts", "tasks"):
            await _under(stores, Retention(versions=3), "check/rule", kind)
        same([state.version for state in await stores.tasks.history(one)], [5, 4, 3], "versions of a task")
        same(len(await stores.tasks.history(own)), 4, "versions of a task with a retention of its own")
        same((await stores.tasks.info(one)), info, "the task in a list")
        same([info.version for info in await stores.artifacts.versions(one)], [3, 4, 5], "versions of an artifact")
        await _under(stores, Retention(bytes=80_000), one, "artifacts")
        same([info.version for info in await stores.artifacts.versions(one)], [4, 5], "versions of 80,000 bytes")
        await _under(stores, Retention(bytes=1), one, "artifacts")
        found = await stores.artifacts.get(one)
        same(found and (found.version, found.content), (5, b"4" * 40_000), "the newest version")


async def a_task_with_a_lease_is_not_removed(make: Make[Stores]) -> None:
    """A task that a worker holds stays, however old it is, until its lease has ended."""
    async with make() as stores:
        task = unique("rule")
        await stores.tasks.save(TaskState(task_id=task))
        lease = await stores.tasks.claim(task, "worker", timedelta(days=300))
        await stores.rules.set("tasks", Retention(age=_HOUR), prefix=task)
        at = At(stores.backend, lease.expires_at - _HOUR)
        try:
            same(await swept(type(stores)(at)), [], "removals while the lease holds")
            await stores.tasks.save(TaskState(task_id=task, data="done"), lease=lease)
            at.moment = lease.expires_at + _HOUR
            same([one.whole for one in await swept(type(stores)(at))], [True], "removals after its end")
            same(await stores.tasks.load(task), None, "the task")
        finally:
            await forget(stores)


class _ChangesFirst(Wrapper):
    """A backend with a change of another process right before the first removal from each stream."""

    def __init__(self, backend: Backend, stores: Stores) -> None:
        super().__init__(backend)
        self._stores = stores
        self._left = {"messages", "artifacts", "tasks"}

    async def commit(self, stream: str, change: Change) -> Receipt:
        kind, _, id = stream.partition("/")
        if kind in self._left and (change.delete or change.drop_before is not None):
            self._left.remove(kind)
            if kind == "messages":
                await self._stores.messages.add_message(id, say("late"))
            elif kind == "artifacts":
                await self._stores.artifacts.put(Artifact(artifact_id=id, content="late"))
            else:
                await self._stores.tasks.claim(id, "late", timedelta(days=300))
        return await super().commit(stream, change)


async def a_change_during_a_sweep_stays(make: Make[Stores]) -> None:
    """A message, a version or a claim that comes at the very moment of a removal is not lost."""
    async with make() as stores:
        for age in (False, True):
            id = unique("rule")
            await fill(stores, id, 5)
            moment = max(await _moments(stores, id)) + (2 * _HOUR if age else _MOMENT)
            at = At(_ChangesFirst(stores.backend, stores), moment)
            for kind, retention in (
                ("messages", Retention(count=2)),
                ("artifacts", Retention(versions=2)),
                ("tasks", Retention(versions=2)),
            ):
                await stores.rules.set(kind, Retention(age=_HOUR) if age else retention, prefix=id)
            try:
                await swept(type(stores)(at))
            finally:
                await forget(stores)
            same((await stores.messages.get_messages(id))[-1:], [say("late")], "the message")
            artifact = await stores.artifacts.get(id)
            same(artifact and artifact.content, "late", "the version")
            info = await stores.tasks.info(id)
            same(info and info.lease and info.lease.owner, "late", "the claim")
            if age:
                same(await counted(stores, id), [6, 6, 5], "messages and versions of streams that changed")


async def _moments(stores: Stores, token: str) -> list[datetime]:
    return [to_time(one.updated_at) for one in await streams_of(stores, token)]


async def _under(stores: Stores, retention: Retention, prefix: str, kind: str = "messages") -> int:
    """Sweep by one rule, forget it, and return the number of removed messages or versions."""
    await stores.rules.set(kind, retention, prefix=prefix)
    try:
        return sum(one.entries for one in await swept(stores))
    finally:
        await forget(stores)


CLAUSES = clauses(__name__)
