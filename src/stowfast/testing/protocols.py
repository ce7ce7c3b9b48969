"""The clauses of the two-method stores: for stores of this package and for stores written from scratch."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError
from stowfast.records import Artifact, TaskState
from stowfast.testing.clause import clauses, either, holds, raises, same, unique

if TYPE_CHECKING:
    from stowfast.abc import ArtifactStore, MessageStore, TaskStateStore
    from stowfast.testing.clause import Make

AS_GIVEN: Final[dict[str, Any]] = {
    "z": 1, "a": {"y": [], "b": {}, "": [[], [None, [True, False]]]}, "unknown key": None, "role": "user",
    "text": "é e\u0301 日本語 \U0001f600 \u2028 \x00 \x7f \\ \" \n", "big": 2**63, "bigger": 10**40,
    "negative": -(2**63), "float": 0.1, "whole float": 1.0, "tiny": 5e-324, "zero": 0, "false": False,
    "10": "a number as a key", "2": "",
}  # fmt: skip
"""Every shape that JSON has: nothing of it may be dropped, sorted, rounded or turned into another type."""

LOOK_ALIKES: Final = (
    "a/b",
    "a_b",
    "a-b",
    "A/B",
    "A_b",
    "a%2fb",
    "a/b/",
    "a",
    "a ",
    "é",
    "e\u0301",
    "../a",
    "'",
    "日本語",
)


async def messages_come_back_in_order_exactly_as_given(make: Make[MessageStore]) -> None:
    """Messages come back oldest first, every key, null, number and character as given, after reopening too."""
    context = unique("context")
    given = [AS_GIVEN, {}, {"role": "agent", "parts": [AS_GIVEN]}, *({"n": number} for number in range(20)), AS_GIVEN]
    async with make() as store:
        for message in given:
            await store.add_message(context, message)
        _exactly(await store.get_messages(context), given, "messages")
    async with make() as store:
        _exactly(await store.get_messages(context), given, "messages after reopening")


async def an_unknown_conversation_is_empty(make: Make[MessageStore]) -> None:
    """An unknown conversation is an empty list."""
    async with make() as store:
        for _ in range(2):
            same(await store.get_messages(unique("context")), [], "an unknown conversation")


async def conversations_do_not_mix(make: Make[MessageStore]) -> None:
    """A message is in its conversation and in no other, however similar their ids."""
    token = unique("context")
    async with make() as store:
        for name in LOOK_ALIKES:
            await store.add_message(f"{token}{name}", {"in": name})
        for name in LOOK_ALIKES:
            _exactly(await store.get_messages(f"{token}{name}"), [{"in": name}], f"messages of {name!r}")


async def messages_are_copies(make: Make[MessageStore]) -> None:
    """Changing a given or returned message changes nothing stored."""
    async with make() as store:
        context, message = unique("context"), {"parts": [{"text": "as given"}]}
        wanted = deepcopy(message)
        await store.add_message(context, message)
        message["parts"][0]["text"] = "changed"
        found = await store.get_messages(context)
        _exactly(found, [wanted], "a message changed after it was given")
        found[0]["parts"].append("changed")
        found.append({})
        _exactly(await store.get_messages(context), [wanted], "a message changed after it was returned")


async def concurrent_messages_are_all_there_once(make: Make[MessageStore]) -> None:
    """Messages added concurrently are each stored once, and those of each writer in its own order."""
    async with make() as store:
        context = unique("context")

        async def write(writer: int) -> None:
            for number in range(5):
                await store.add_message(context, {"writer": writer, "number": number})

        await asyncio.gather(*map(write, range(10)))
        found = await store.get_messages(context)
        same(len(found), 50, "messages")
        for writer in range(10):
            mine = [message["number"] for message in found if message["writer"] == writer]
            same(mine, [0, 1, 2, 3, 4], "one writer's messages")


MESSAGES = clauses(__name__)


async def an_artifact_comes_back_exactly_as_given(make: Make[ArtifactStore]) -> None:
    """An artifact's content, bytes, text or JSON, and its metadata come back as given, after reopening too."""
    contents: tuple[Any, ...] = (
        b"",
        bytes(range(256)) * 40,
        "",
        AS_GIVEN["text"],
        AS_GIVEN,
        [AS_GIVEN],
        [],
        None,
        1.0,
        7,
    )
    given = [_artifact(content=content, metadata=deepcopy(AS_GIVEN)) for content in contents]
    async with make() as store:
        for artifact in given:
            await store.create(artifact)
    async with make() as store:
        for artifact in given:
            found = await store.get(artifact.artifact_id)
            _exactly(found and _as_given(found), _as_given(artifact), "an artifact")


async def an_unknown_artifact_is_none(make: Make[ArtifactStore]) -> None:
    """An unknown artifact is None."""
    async with make() as store:
        same(await store.get(unique("artifact")), None, "an unknown artifact")


async def artifacts_do_not_mix(make: Make[ArtifactStore]) -> None:
    """Each id has its own artifact, however similar the ids."""
    token = unique("artifact")
    async with make() as store:
        for name in LOOK_ALIKES:
            await store.create(Artifact(artifact_id=f"{token}{name}", content=name))
        for name in LOOK_ALIKES:
            found = await store.get(f"{token}{name}")
            same(found and found.content, name, f"the content of {name!r}")


async def an_artifact_is_created_once(make: Make[ArtifactStore]) -> None:
    """A second creation under the same id is a ConflictError, and the first stays as it was."""
    first = _artifact(content="first")
    async with make() as store:
        await store.create(first)
        for content in ("second", "first"):
            again = _artifact(artifact_id=first.artifact_id, content=content)
            await raises(ConflictError, store.create(again), "a second creation")
    async with make() as store:
        found = await store.get(first.artifact_id)
        same(found and found.content, "first", "the content after a conflict")


async def of_racing_creations_one_wins(make: Make[ArtifactStore]) -> None:
    """Of racing creations of one id exactly one succeeds, even with identical bytes."""
    async with make() as one, make() as other:
        for _ in range(10):
            artifact = _artifact(content=b"same bytes")
            racing = (either((one, other)[racer % 2].create(deepcopy(artifact)), ConflictError) for racer in range(8))
            results = await asyncio.gather(*racing)
            same(sum(isinstance(result, ConflictError) for result in results), 7, "creations that lost")
            found = await other.get(artifact.artifact_id)
            same(found and found.content, b"same bytes", "the content after a race")


async def artifacts_are_copies(make: Make[ArtifactStore]) -> None:
    """Changing a given or returned artifact changes nothing stored."""
    async with make() as store:
        artifact = _artifact(content={"rows": [1]}, metadata={"tags": ["a"]})
        wanted = deepcopy(_as_given(artifact))
        await store.create(artifact)
        artifact.content["rows"].append(2)
        artifact.metadata["tags"].append("b")
        for _ in range(2):
            found = await store.get(wanted["artifact_id"])
            holds(found is not None, "the artifact is there")
            if found is not None:
                _exactly(_as_given(found), wanted, "an artifact that was changed outside")
                found.content["rows"].append(2)
                found.metadata["tags"].append("b")


ARTIFACTS = tuple(clause for clause in clauses(__name__) if clause not in MESSAGES)


async def a_state_comes_back_exactly_as_given(make: Make[TaskStateStore]) -> None:
    """A task's state comes back with its data, any JSON, and its other fields, after reopening too."""
    states = [
        TaskState(task_id=unique("task"), context_id="c", agent_id="a", status="input-required", data=data)
        for data in (AS_GIVEN, [AS_GIVEN], {}, [], "text", "", None, 0, 1.0, True)
    ]
    async with make() as store:
        for state in states:
            await store.save(deepcopy(state))
    async with make() as store:
        for state in states:
            found = await store.load(state.task_id)
            holds(found is not None, "a saved state is there")
            if found is not None:
                _exactly(found.data, state.data, "data")
                for field in ("task_id", "context_id", "agent_id", "status"):
                    same(getattr(found, field), getattr(state, field), field)


async def an_unknown_task_is_none(make: Make[TaskStateStore]) -> None:
    """An unknown task is None."""
    async with make() as store:
        same(await store.load(unique("task")), None, "an unknown task")


async def tasks_do_not_mix(make: Make[TaskStateStore]) -> None:
    """Each task has its own state, however similar the ids."""
    token = unique("task")
    async with make() as store:
        for name in LOOK_ALIKES:
            await store.save(TaskState(task_id=f"{token}{name}", data=name))
        for name in LOOK_ALIKES:
            found = await store.load(f"{token}{name}")
            same(found and found.data, name, f"the state of {name!r}")


async def the_last_save_wins(make: Make[TaskStateStore]) -> None:
    """The last saved state is loaded, through every opening."""
    async with make() as one, make() as other:
        task = unique("task")
        for number in range(10):
            await (one, other)[number % 2].save(TaskState(task_id=task, status=f"s{number}", data=number))
            for store in (one, other):
                found = await store.load(task)
                same(found and (found.status, found.data), (f"s{number}", number), "the newest state")
        loaded = await one.load(task)
        if loaded is not None:
            loaded.data = "from an older state"
            await one.save(TaskState(task_id=task, data="in between"))
            await one.save(loaded)
        found = await other.load(task)
        same(found and found.data, "from an older state", "a state saved without a condition")


async def racing_saves_leave_one_of_them(make: Make[TaskStateStore]) -> None:
    """After concurrent saves the state is one of them, whole."""
    async with make() as one, make() as other:
        task = unique("task")
        states = [TaskState(task_id=task, status=f"s{n}", data={"n": n, "fill": [n] * 500}) for n in range(20)]
        await asyncio.gather(*((one, other)[n % 2].save(state) for n, state in enumerate(states)))
        found = await one.load(task)
        holds(found is not None, "a state is there")
        if found is not None:
            number = found.data["n"]
            same((found.status, found.data), (f"s{number}", {"n": number, "fill": [number] * 500}), "one whole state")


async def states_are_copies(make: Make[TaskStateStore]) -> None:
    """Changing a given or returned state changes nothing stored."""
    async with make() as store:
        state = TaskState(task_id=unique("task"), data={"steps": [1]})
        await store.save(state)
        state.data["steps"].append(2)
        for _ in range(2):
            found = await store.load(state.task_id)
            same(found and found.data, {"steps": [1]}, "data that was changed outside")
            if found is not None:
                found.data["steps"].append(2)


TASK_STATES = tuple(clause for clause in clauses(__name__) if clause not in (*MESSAGES, *ARTIFACTS))


def _artifact(**given: Any) -> Artifact:
    fixed = {"context_id": "c", "task_id": "t", "name": "a name", "description": "é", "mime_type": "text/x-odd"}
    return Artifact(**{"artifact_id": unique("artifact"), **fixed, **given})


def _as_given(artifact: Artifact) -> dict[str, Any]:
    fields = ("artifact_id", "context_id", "task_id", "name", "description", "mime_type", "metadata", "content")
    return {field: getattr(artifact, field) for field in fields}


def _exactly(found: object, wanted: object, subject: str) -> None:
    # Equality does not see the order of keys, nor tell 1 from 1.0 and True.
    same(_written(found), _written(wanted), subject)


def _written(value: object) -> str:
    return json.dumps(value, default=repr, ensure_ascii=False)
