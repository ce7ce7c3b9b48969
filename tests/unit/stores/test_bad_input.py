"""Input of people and attackers: ids, messages and filters are kept exactly or refused, never half of it."""

from __future__ import annotations

import json
import time
from collections import OrderedDict, defaultdict
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast import Artifact, InvalidError, TaskState
from tests.conformance.places import PLACES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STRANGE_IDS = [
    "../../etc/passwd", "a/b", "a_b", "a%2fb", "a\\b", "/", "//", ".", "..", " ", " a", "a ", "\n", "\x01", "\x7f",
    "\U0001f600", "'; drop table streams; --", '"', "%", "_", "*", "UPPER", "upper", "Upper", "é", "e\u0301", "\u212a",
    "K", "x" * 1_024, "x" * 1_023, "é" * 512, "\U0010ffff", "\ufeff", "null", "None", "0", "messages/x", "-1",
]  # fmt: skip
BAD_IDS: list[Any] = [
    "",
    "x" * 10_000,
    "x" * 1_025,
    "é" * 513,
    "a\0b",
    "\0",
    "\ud800",
    "a\udfff",
    None,
    5,
    b"id",
    ["id"],
    (),
]
BAD_OP_IDS: list[Any] = ["", "x" * 10_000, "a\0b", "\ud800", 5, b"id", ["id"], ()]


@pytest.fixture(params=PLACES)
async def stores(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[stowfast.Stores]:
    async with request.param(tmp_path)() as opened:
        yield opened


async def drained(iterator: Any) -> list[Any]:
    return [one async for one in iterator]


async def test_strange_ids_are_each_their_own(stores):
    for name in STRANGE_IDS:
        await stores.messages.add_message(name, {"id": name}, op_id=name)
        await stores.artifacts.create(Artifact(artifact_id=name, context_id=name, content=name), op_id=name)
        await stores.tasks.save(
            TaskState(task_id=name, context_id=name, agent_id=name, status=name, data=name), op_id=name
        )
    for name in STRANGE_IDS:
        assert await stores.messages.get_messages(name) == [{"id": name}]
        assert (await stores.artifacts.get(name)).content == name
        assert (await stores.tasks.load(name)).data == name
        assert [one.artifact_id for one in await stores.artifacts.list(context_id=name)] == [name]
        assert [one.task_id for one in await stores.tasks.list(context_id=name, status=name)] == [name]
        assert name in [one.context_id for one in await stores.messages.contexts(prefix=name)]
    listed = [one.context_id for one in await stores.messages.contexts(order="id")]
    assert listed == sorted(STRANGE_IDS)
    for name in STRANGE_IDS:
        await stores.messages.delete(name)
        assert await stores.messages.count(name) == 0
    assert len(await stores.artifacts.list()) == len(await stores.tasks.list()) == len(STRANGE_IDS)


async def test_strange_op_ids_are_each_their_own(stores):
    for position, name in enumerate(STRANGE_IDS):
        for _ in range(2):
            assert await stores.messages.add_message("c", {"same": "bytes"}, op_id=name) == position
    assert [entry.op_id for entry in await drained(stores.messages.entries("c"))] == STRANGE_IDS


@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda bad: repr(bad)[:12])
async def test_bad_ids_are_refused_by_every_method(stores, bad):
    messages, artifacts, tasks = stores.messages, stores.artifacts, stores.tasks
    await messages.add_message("good", {})
    calls = [
        messages.add_message(bad, {}), messages.add_messages(bad, [{}]), messages.get_messages(bad),
        messages.get_messages(bad, max_tokens=9), messages.count(bad), messages.pop_message(bad),
        messages.fork(bad, "new"), messages.fork("good", bad), messages.compact(bad, keep_last=1, summary={}),
        messages.delete(bad), messages.info(bad), messages.set_metadata(bad, {}), messages.set_expiry(bad, None),
        drained(messages.entries(bad)), anext(messages.watch(bad)),
        artifacts.create(Artifact(artifact_id=bad)), artifacts.update(Artifact(artifact_id=bad)), artifacts.get(bad),
        artifacts.versions(bad), artifacts.delete(bad),
        tasks.save(TaskState(task_id=bad)), tasks.load(bad), tasks.history(bad), tasks.delete(bad),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidError) as caught:
            await call
        assert len(str(caught.value)) < 300
    assert [one.context_id for one in await messages.contexts()] == ["good"]
    assert (await artifacts.list()).items == (await tasks.list()).items == []


@pytest.mark.parametrize("bad", BAD_OP_IDS, ids=lambda bad: repr(bad)[:12])
async def test_bad_op_ids_are_refused(stores, bad):
    await stores.messages.add_message("good", {})
    await stores.artifacts.create(Artifact(artifact_id="good"))
    for call in (
        stores.messages.add_message("c", {}, op_id=bad), stores.messages.add_messages("c", [{}], op_id=bad),
        stores.messages.fork("good", "c", op_id=bad), stores.messages.pop_message("good", op_id=bad),
        stores.tasks.save(TaskState(task_id="t"), op_id=bad),
        stores.artifacts.create(Artifact(artifact_id="a"), op_id=bad),
        stores.artifacts.update(Artifact(artifact_id="good"), op_id=bad),
    ):  # fmt: skip
        with pytest.raises(InvalidError):
            await call
    assert await stores.messages.info("c") is None
    assert await stores.artifacts.get("a") is None
    assert await stores.tasks.load("t") is None
    assert len(await stores.artifacts.versions("good")) == 1


@pytest.mark.parametrize("bad", [5, b"x", ["x"], {}, True, 1.5], ids=repr)
async def test_what_lists_filter_by_is_text(stores, bad):
    for call in (
        stores.artifacts.create(Artifact(artifact_id="x", context_id=bad)),
        stores.artifacts.create(Artifact(artifact_id="x", task_id=bad)),
        stores.tasks.save(TaskState(task_id="x", context_id=bad)),
        stores.tasks.save(TaskState(task_id="x", agent_id=bad)),
        stores.tasks.save(TaskState(task_id="x", status=bad)),
    ):
        with pytest.raises(InvalidError):
            await call
    assert (await stores.artifacts.list()).items == (await stores.tasks.list()).items == []


@pytest.mark.slow
async def test_a_large_message_is_kept_exactly(stores):
    message = {"role": "user", "content": "é\U0001f600" * (50 * 2**20 // 6)}
    await stores.messages.add_message("c", message)
    await stores.messages.add_message("c", {"after": True})
    found = await stores.messages.get_messages("c")
    assert found[0] == message  # pytest need not write both out: a wrong one is found by its length first
    assert found[1:] == [{"after": True}]


async def test_a_message_over_the_limit_is_refused(stores):
    over = {"content": "x" * 64 * 2**20}
    for call in (stores.messages.add_message("c", over), stores.messages.add_messages("c", [{}, over, {}])):
        with pytest.raises(InvalidError, match="artifact"):
            await call
    with pytest.raises(InvalidError, match="artifact"):
        await stores.tasks.save(TaskState(task_id="t", data=over))
    assert await stores.messages.info("c") is None
    assert await stores.tasks.load("t") is None


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"k": inner}], ids=["lists", "objects"])
async def test_nesting_is_kept_or_refused_at_once(stores, wrap):
    def nested(depth: int) -> Any:
        value: Any = "innermost"
        for _ in range(depth):
            value = wrap(value)
        return value

    await stores.messages.add_message("c", {"deep": nested(150)})
    await stores.messages.set_metadata("c", {"deep": nested(150)})
    assert json.dumps(await stores.messages.get_messages("c")) == json.dumps([{"deep": nested(150)}])
    began = time.process_time()
    for depth in (250, 1_000, 10_000, 100_000):
        with pytest.raises(InvalidError, match="levels deep"):
            await stores.messages.add_message("c", {"deep": nested(depth)})
        with pytest.raises(InvalidError):
            await stores.artifacts.create(Artifact(artifact_id="a", content=nested(depth)))
        with pytest.raises(InvalidError):
            await stores.tasks.save(TaskState(task_id="t", data=nested(depth)))
    assert time.process_time() - began < 5
    assert await stores.messages.count("c") == 1


@pytest.mark.parametrize("lone", ["\ud800", "a\udc80b", "x\ude00\ud83d"])
async def test_lone_surrogates_are_refused_in_keys_and_values(stores, lone):
    for message in ({"k": lone}, {lone: "v"}, {"k": [{"k": {lone: 1}}]}, {"k": [lone]}):
        with pytest.raises(InvalidError):
            await stores.messages.add_message("c", message)
        with pytest.raises(InvalidError):
            await stores.messages.set_metadata("c", message)
        with pytest.raises(InvalidError):
            await stores.messages.contexts(where=message)
    with pytest.raises(InvalidError):
        await stores.messages.contexts(prefix=lone)
    with pytest.raises(InvalidError):
        await stores.artifacts.create(Artifact(artifact_id="a", content=lone))
    assert await stores.messages.info("c") is None
    await stores.messages.add_message("c", {"k": "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")})
    assert await stores.messages.get_messages("c") == [{"k": "\U0001f600"}]


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


async def test_what_only_looks_like_json_is_refused(stores):
    # A dict cannot hold a key twice, so duplicate keys are no input here: they are a matter of reading JSON text.
    subclasses: list[Any] = [OrderedDict(a=1), defaultdict(int, a=1), [], "text", None, 1, {"a"}, b"{}", (("a", 1),)]
    for message in subclasses:
        with pytest.raises(InvalidError, match="a JSON object, a dict"):
            await stores.messages.add_message("c", message)
    values: list[Any] = [OrderedDict(), Colour.RED, Level.LOW, range(3), frozenset(), 1j, bytearray(b"x"), ..., dict]
    for value in values:
        with pytest.raises(InvalidError, match="holds a"):
            await stores.messages.add_message("c", {"v": value})
    assert await stores.messages.info("c") is None


async def test_huge_integers_are_exact_or_refused(stores):
    kept = [10**4_000, -(10**4_000), 2**64, 2**63, -(2**63) - 1, 2**53 + 1, 10**4_299]
    await stores.messages.add_message("c", {"n": kept})
    await stores.tasks.save(TaskState(task_id="t", data=kept))
    assert (await stores.messages.get_messages("c"))[0]["n"] == kept
    assert (await stores.tasks.load("t")).data == kept
    for number in (10**5_000, -(10**5_000), 10**4_300):
        with pytest.raises(InvalidError):
            await stores.messages.add_message("c", {"n": number})
    assert await stores.messages.count("c") == 1


async def test_metadata_is_never_taken_for_a_query(stores):
    keys = [
        "' OR '1'='1",
        "a'; DROP TABLE streams; --",
        'a"b',
        "a.b",
        "$.a",
        "a[0]",
        "%",
        "_",
        "",
        "?",
        ":x",
        "a\0b",
        "é",
    ]
    for number, key in enumerate(keys):
        await stores.messages.set_metadata(f"c{number}", {key: key})
    for number, key in enumerate(keys):
        assert [one.context_id for one in await stores.messages.contexts(where={key: key})] == [f"c{number}"]
        assert (await stores.messages.info(f"c{number}")).metadata == {key: key}
    assert (await stores.messages.contexts(where={"a": "' OR 1=1 --"})).items == []
    assert len(await stores.messages.contexts()) == len(keys)


async def test_counts_below_nothing_are_refused(stores):
    await stores.tasks.save(TaskState(task_id="t"))
    for call in (
        stores.messages.contexts(limit=-1), stores.artifacts.list(limit=-1), stores.tasks.list(limit=-1),
        stores.tasks.history("t", limit=-1), stores.messages.compact("c", keep_last=-1, summary={}),
    ):  # fmt: skip
        with pytest.raises(InvalidError):
            await call


async def test_what_is_no_moment_is_refused(stores):
    await stores.messages.add_message("c", {})
    moments: list[Any] = ["tomorrow", 0, 1e9]
    for moment in moments:
        with pytest.raises(InvalidError, match="timezone"):
            await stores.messages.set_expiry("c", moment)
        with pytest.raises(InvalidError, match="timezone"):
            await stores.tasks.save(TaskState(task_id="t", expires_at=moment))
        with pytest.raises(InvalidError, match="timezone"):
            await stores.tasks.list(updated_after=moment)


@pytest.mark.parametrize(
    "call",
    [
        lambda stores: stores.messages.get_messages("c", after=2**62 - 1),
        lambda stores: stores.messages.get_messages("c", before=2**62 - 1),
        lambda stores: stores.tasks.load("t", version=2**62 - 1),
        lambda stores: stores.artifacts.get("a", version=2**62 - 1),
    ],
)
async def test_a_position_past_every_end_is_past_the_end(call, tmp_path):
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(place(tmp_path)()) for place in PLACES]
        for stores in opened:
            await stores.messages.add_message("c", {})
            await stores.tasks.save(TaskState(task_id="t"))
            await stores.artifacts.create(Artifact(artifact_id="a"))
        assert await call(opened[1]) == await call(opened[0])


async def test_a_number_that_is_none_is_refused_by_its_name(stores):
    messages, artifacts, tasks = stores.messages, stores.artifacts, stores.tasks
    await messages.add_message("c", {"role": "user"})
    calls: dict[str, Any] = {
        "last": lambda: messages.get_messages("c", last="2"),
        "limit": lambda: messages.get_messages("c", limit=1.5),
        "after": lambda: messages.get_messages("c", after="0"),
        "before": lambda: messages.get_messages("c", before="9"),
        "max_tokens": lambda: messages.get_messages("c", max_tokens="9"),
        "at": lambda: messages.fork("c", "d", at="1"),
        "keep_last": lambda: messages.compact("c", keep_last="1", summary={}),
        "expect": lambda: messages.add_messages("c", [{}], expect="1"),
        "where": lambda: messages.contexts(where="user"),
        "version": lambda: artifacts.get("a", version="1"),
    }
    for name, call in calls.items():
        with pytest.raises(InvalidError, match=f"^{name} must be"):
            await call()
    for call in (lambda: tasks.load("t", version="1"), lambda: tasks.history("t", before="2")):
        with pytest.raises(InvalidError, match="must be an int, not str"):
            await call()
    assert await messages.get_messages("c") == [{"role": "user"}]


async def test_a_moment_that_could_not_be_given_back_is_refused(stores):
    far = datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))
    await stores.messages.add_message("c", {})
    with pytest.raises(InvalidError, match="outside the years"):
        await stores.tasks.save(TaskState(task_id="t", expires_at=far))
    with pytest.raises(InvalidError, match="outside the years"):
        await stores.messages.set_expiry("c", far)
    assert not await stores.tasks.list()
    assert (await stores.messages.info("c")).expires_at is None


async def test_what_is_too_large_for_a_head_is_named_as_the_caller_knows_it(stores):
    large = {"text": "x" * 70_000}
    await stores.messages.add_messages("c", [{"i": 1}, {"i": 2}])
    with pytest.raises(InvalidError, match=r"^metadata: its short values have 7.,.* limit is 65,536"):
        await stores.messages.set_metadata("c", {f"k{number}": "x" * 100 for number in range(700)})
    with pytest.raises(InvalidError, match=r"^metadata with the summary"):
        await stores.messages.compact("c", keep_last=1, summary=large)
    with pytest.raises(InvalidError, match=r"^what describes artifact 'a'"):
        await stores.artifacts.create(Artifact(artifact_id="a", metadata={"text": "x" * 2**25}))
    with pytest.raises(InvalidError, match=r"^artifact 'a': what lists select by.* the limit is 65,536"):
        await stores.artifacts.create(Artifact(artifact_id="a", context_id="x" * 70_000))
    assert await stores.messages.get_messages("c") == [{"i": 1}, {"i": 2}]
    assert await stores.artifacts.get("a") is None


async def test_a_repeated_create_tells_what_is_stored_and_not_what_it_was_given(stores):
    first = await stores.artifacts.create(Artifact(artifact_id="a", name="one", content="1"), op_id="op")
    again = await stores.artifacts.create(Artifact(artifact_id="a", name="two", content="22"), op_id="op")
    assert again == first
    assert (await stores.artifacts.get("a")).sha256 == again.sha256


async def test_a_repeated_save_tells_what_is_stored_and_not_what_it_was_given(stores):
    first = await stores.tasks.save(TaskState(task_id="t", status="done", data=1), op_id="op")
    await stores.tasks.save(TaskState(task_id="t", data=2))
    again = await stores.tasks.save(TaskState(task_id="t", data=3), op_id="op")
    assert again == first
    await stores.tasks.delete("t")
    assert (await stores.tasks.save(TaskState(task_id="t", data=4), op_id="op")).version == 1
    assert await stores.tasks.load("t") is None


async def test_a_list_shows_an_artifact_that_moves_meanwhile_as_it_was_at_one_moment(stores, monkeypatch):
    await stores.artifacts.create(Artifact(artifact_id="a", context_id="x"))
    listed = stores.backend.streams

    async def move_after(*args: Any, **options: Any) -> Any:
        found = await listed(*args, **options)
        await stores.artifacts.update(Artifact(artifact_id="a", context_id="y"))
        return found

    monkeypatch.setattr(stores.backend, "streams", move_after)
    assert [(one.context_id, one.version) for one in await stores.artifacts.list(context_id="x")] == [("x", 1)]
    assert not await stores.artifacts.list(context_id="x")
    assert [(one.context_id, one.version) for one in await stores.artifacts.list(context_id="y")] == [("y", 3)]


async def test_a_conflict_with_a_new_life_says_so(stores):
    old_task = await stores.tasks.save(TaskState(task_id="t"))
    old_artifact = Artifact(artifact_id="a", content="1")
    old_artifact.incarnation = (await stores.artifacts.create(old_artifact)).incarnation
    await stores.tasks.delete("t")
    await stores.artifacts.delete("a")
    await stores.tasks.save(TaskState(task_id="t"))
    await stores.artifacts.create(Artifact(artifact_id="a", content="2"))
    with pytest.raises(stowfast.ConflictError, match="deleted and begun again"):
        await stores.tasks.save(old_task, expect=1)
    with pytest.raises(stowfast.ConflictError, match="deleted and created again"):
        await stores.artifacts.update(old_artifact, expect=1)


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        (None, {}, "a URL is a str"),
        (Path("agent.db"), {}, "a URL is a str such as 'sqlite:///agent.db', not PosixPath"),
        ("agent.db", {}, "a file is sqlite:///agent.db"),
        ("hunter2@host:5432/db", {}, "a URL begins with one of az:, gs:, memory:, moving:, postgresql:, s3:, sqlite:"),
        ("sqlite:///agent.db", {"colour": "red"}, "sqlite: has no option colour; it has durability, timeout, sweep"),
        ("sqlite:///agent.db?colour=red", {}, "sqlite: has no option colour; it has durability, timeout, sweep"),
        ("sqlite:///agent.db?timeout=1", {"timeout": "2"}, "timeout is in the URL and beside it"),
        ("sqlite:///agent.db?timeout=1&timeout=2", {}, "an option comes twice"),
        ("sqlite://user:hunt?er2@host/db", {}, "sqlite: has no option ...; it has"),
    ],
)
async def test_a_wrong_url_or_option_is_an_error_with_the_fix_and_without_a_secret(url, options, says):
    faces: tuple[Any, Any] = (stowfast.open, stowfast.sync.open)
    for face in faces:
        with pytest.raises(InvalidError) as raised:
            await face(url, **options)
        assert says in str(raised.value)
        assert "hunter2" not in str(raised.value)
        assert "er2" not in str(raised.value)
