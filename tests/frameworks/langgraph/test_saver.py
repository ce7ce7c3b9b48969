"""The saver: the conformance kit, the engine's answers with another saver, safety, and hostile ids."""

from __future__ import annotations

import asyncio
import pickle
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

import stowfast
from stowfast import ConflictError, DamagedError, InvalidError
from stowfast.abc import Change
from stowfast.adapters.langgraph import StowfastSaver
from tests.frameworks.langgraph.graphs import atravelled, checkpoint, config, rich, text, travelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = b"1234567890123456"
KIT_TESTS = 81


def encrypted(key: bytes = KEY) -> EncryptedSerializer:
    return EncryptedSerializer.from_pycryptodome_aes(JsonPlusSerializer(allowed_msgpack_modules=None), key=key)


@pytest.mark.filterwarnings("ignore")
async def test_the_conformance_kit_passes(url: str) -> None:
    @checkpointer_test(name="StowfastSaver")
    async def made() -> AsyncIterator[StowfastSaver]:
        async with StowfastSaver(url, scope=uuid.uuid4().hex) as saver:
            yield saver

    report = await validate(made)
    assert [failure for one in report.results.values() for failure in one.failures or ()] == []
    assert sum(one.tests_passed for one in report.results.values()) >= KIT_TESTS


async def test_the_history_of_a_delta_channel_is_that_of_the_saver_in_memory(url: str) -> None:
    """Oldest first, parallel writes by the path of their task, from the nearest value on with the writes beside it."""
    first, last = f"{0:032x}", "f" * 32  # task ids in the order against that of the paths
    values: dict[int, dict[str, Any]] = {0: {"a": [0]}, 2: {"a": _DeltaSnapshot([0, 1, 2]), "b": "plain"}}
    async with StowfastSaver(url, scope=uuid.uuid4().hex) as ours:
        found = list[Any]()
        for saver in (ours, InMemorySaver()):
            made, here = list[Any](), config()
            for step in range(6):
                one = checkpoint(step, **values.get(step, {}))
                here = await saver.aput(here, one, {"source": "loop", "step": step}, one["channel_versions"])
                await saver.aput_writes(here, [("a", f"{step} second"), ("b", step)], first, "~pull, 02")
                await saver.aput_writes(here, [("a", f"{step} first")], last, "~pull, 01")
                await saver.aput_writes(here, [("a", f"{step} input"), ("other", 1)], "8" * 32)
                made.append(here)
            found.append(
                [await saver.aget_delta_channel_history(config=at, channels=["a", "b", "none"]) for at in made]
            )
            assert await saver.aget_delta_channel_history(config=here, channels=[]) == {}
    assert found[0] == found[1]
    newest = found[0][-1]
    assert newest["a"]["seed"] == _DeltaSnapshot([0, 1, 2])
    assert [text for _, _, text in newest["a"]["writes"]] == [
        f"{step} {part}" for step in (2, 3, 4) for part in ("input", "first", "second")
    ]
    assert (newest["b"]["seed"], [value for _, _, value in newest["b"]["writes"]]) == ("plain", [2, 3, 4])
    assert newest["none"] == {"writes": []}


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.filterwarnings("ignore")
async def test_a_graph_has_the_results_that_it_has_with_the_saver_in_memory(url: str, durability: str) -> None:
    async with StowfastSaver(url, scope=uuid.uuid4().hex) as saver:
        expected = travelled(rich(InMemorySaver()), "t", durability)
        assert await asyncio.to_thread(travelled, rich(saver), "sync", durability) == expected
        assert await atravelled(rich(saver), "async", durability) == await atravelled(
            rich(InMemorySaver()), "t", durability
        )
        assert travelled(rich(saver), "sync in a loop", durability) == expected


def test_a_long_thread_comes_back_whole_in_another_saver(url: str) -> None:
    """Every checkpoint and every write, by spans, skips and writes in other commits."""
    scope, values, expected = uuid.uuid4().hex, [text(0, 2_000)], {}
    with StowfastSaver(url, scope=scope) as saver:
        here = saver.put(config(), checkpoint(0, list=values), {"source": "input", "step": -1}, {"list": 1})
        for step in range(1, 150):
            added = text(step, 400)
            saver.put_writes(here, [("list", added), ("other", step)], f"task-{step}", f"path-{step}")
            values = [*values, added] if step % 50 else [added]
            made = checkpoint(step, list=values, step=step)
            here = saver.put(here, made, {"source": "loop", "step": step}, {"list": step + 1, "step": step + 1})
            expected[made["id"]] = values, step
        with StowfastSaver(url, scope=scope) as other:
            newest = other.get_tuple(config())
            assert newest is not None
            assert newest.checkpoint["channel_values"] == {"list": values, "step": 149}
            listed = list(other.list(config()))
            assert len(listed) == 150
            for one in listed[:-1]:
                found = one.checkpoint["channel_values"]
                assert (found["list"], found["step"]) == expected[one.checkpoint["id"]]
            for one in listed[1:-1]:
                step = one.checkpoint["channel_values"]["step"]
                task = f"task-{step + 1}"
                assert one.pending_writes == [(task, "list", text(step + 1, 400)), (task, "other", step + 1)]
            third = listed[-3].config
            with StowfastSaver(url, scope=scope) as again:
                assert again.get_tuple(third) == listed[-3]
                assert [one.metadata["step"] for one in again.list(config(), filter={"step": 77})] == [77]


async def test_an_entry_is_bound_to_its_place(url: str) -> None:
    """An entry moved, changed, or written without the key is damage, and not a value."""
    async with stowfast.open(url) as stores:
        scope = stores.within(uuid.uuid4().hex)
        saver = StowfastSaver(scope, serde=encrypted())
        secret = "a secret of the user"
        here = await saver.aput(config("a"), checkpoint(0, it=secret), {"source": "input"}, {"it": 1})
        await saver.aput_writes(here, [("it", secret)], "task")
        entries = (await scope.backend.read("langgraph/a")).entries
        assert all(secret.encode() not in one.data for one in entries)
        await saver.acopy_thread("a", "copy")
        for thread in ("a", "copy"):
            found = await StowfastSaver(scope, serde=encrypted()).aget_tuple(config(thread))
            assert found is not None
            assert found.checkpoint["channel_values"] == {"it": secret}
            assert found.pending_writes == [("task", "it", secret)]
        await scope.backend.commit("langgraph/moved", Change([one.data for one in entries]))
        plain = StowfastSaver(scope)
        await plain.aput(config("plain"), checkpoint(0, it="x"), {"source": "input"}, {"it": 1})
        for thread, serde in (("moved", encrypted()), ("plain", encrypted()), ("a", encrypted(b"6" * 16))):
            with pytest.raises(DamagedError):
                await StowfastSaver(scope, serde=serde).aget_tuple(config(thread))
        with pytest.raises(InvalidError, match="encrypted"):
            await plain.aget_tuple(config("a"))


def test_encrypted_entries_are_differences(url: str) -> None:
    with stowfast.sync.open(url) as stores, stores.within(uuid.uuid4().hex) as scope:
        saver = StowfastSaver(scope, serde=encrypted())
        values = [text(number, 400) for number in range(100)]
        here = saver.put(config(), checkpoint(0, it=values), {"source": "input"}, {"it": 1})
        values = [*values, "more"]
        saver.put(here, checkpoint(1, it=values), {"source": "loop"}, {"it": 2})
        saver.close()

        async def sizes() -> list[int]:
            return [len(one.data) for one in (await scope.async_stores.backend.read("langgraph/t")).entries]

        first, second = StowfastSaver(scope)._opener.run(sizes())
        assert second < 600 < first


@pytest.mark.parametrize("serde", [JsonPlusSerializer(pickle_fallback=True), pickle])
def test_pickle_is_refused(serde: Any) -> None:
    for given in (serde, EncryptedSerializer(encrypted().cipher, serde)):
        with pytest.raises(InvalidError, match="pickle"):
            StowfastSaver("memory:", serde=given)


@dataclass
class Known:
    value: int


def test_other_types_are_read_back_only_if_they_are_allowed() -> None:
    with stowfast.sync.open("memory:") as stores:
        saver = StowfastSaver(stores)
        saver.put(config(), checkpoint(0, it=Known(1), at=UUID(int=7)), {"source": "input"}, {"it": 1, "at": 1})
        for allowed, expected in (((), {"value": 1}), ((Known,), Known(1))):
            found = StowfastSaver(stores, allowed=allowed).get_tuple(config())
            assert found is not None
            assert found.checkpoint["channel_values"] == {"it": expected, "at": UUID(int=7)}
        with pytest.raises(InvalidError, match="not both"):
            StowfastSaver(stores, serde=encrypted(), allowed=[Known])


HOSTILE = ["../../x", "a/b", "%2F", "sé🐍", "' OR 1=1 --", "x" * 1_000, "a:b", "-", " ", "langgraph/t"]


def test_hostile_ids_are_ids(url: str) -> None:
    with StowfastSaver(url, scope=uuid.uuid4().hex) as saver:
        for number, id in enumerate(HOSTILE):
            made = checkpoint(number, it=id)
            made["id"] = id
            here = saver.put(config(id, ns=id), made, {"source": "input", "run_id": id}, {"it": 1})
            saver.put_writes(here, [(id, id)], id, id)
        for id in HOSTILE:
            found = saver.get_tuple(config(id, ns=id))
            assert found is not None
            assert found.checkpoint["channel_values"] == {"it": id}
            assert found.pending_writes == [(id, id, id)]
            assert len(list(saver.list(config(id, ns=id)))) == 1
        assert {one.config["configurable"]["thread_id"] for one in saver.list(None)} == set(HOSTILE)
        saver.delete_for_runs(HOSTILE[:3])
        assert {one.config["configurable"]["thread_id"] for one in saver.list(None)} == set(HOSTILE[3:])
        for bad in ("", "\0", "x" * 1_025):
            with pytest.raises(InvalidError):
                saver.get_tuple(config(bad))


def test_a_copy_leaves_an_existing_thread_alone(url: str) -> None:
    with StowfastSaver(url, scope=uuid.uuid4().hex) as saver:
        for thread in ("a", "b"):
            saver.put(config(thread), checkpoint(0, it=thread), {"source": "input"}, {"it": 1})
        with pytest.raises(ConflictError, match="exists"):
            saver.copy_thread("a", "b")
        found = saver.get_tuple(config("b"))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"it": "b"}
