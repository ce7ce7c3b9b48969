"""`StowfastStore`: the same answers as LangGraph's own stores, and what only ours promises."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.store.base import GetOp, InvalidNamespaceError, Item, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

import stowfast
from stowfast import InvalidError, UnsupportedError
from stowfast.adapters.langgraph import StowfastStore
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import LosesAnswers

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

    from tests.frameworks.losing import LosingBucket

HOSTILE = ("a/b", "a%2Fb", "//", "%", "%-", "..", "ümlaut", "a" * 900, "x\x01", "*", "'; --")
VALUES: tuple[dict[str, Any], ...] = (
    {"color": "red", "size": 3},
    {"color": "red", "size": 5, "made": {"by": "ada", "in": [1, 2]}},
    {"color": "blue"},
    {"size": -1.5, "made": {"by": "bob"}},
)
FILTERS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"color": "red"},
    {"made": {"by": "ada"}},
    {"color": {"$ne": "red"}},
    {"color": "red", "size": {"$gte": 4}},
)


def seen(items: list[Any]) -> list[tuple[tuple[str, ...], str, Any]]:
    return sorted((item.namespace, item.key, repr(item.value)) for item in items)


@pytest.mark.parametrize("seed", range(8))
async def test_random_calls_give_the_answers_of_the_store_in_memory(url: str, seed: int) -> None:
    randomness = random.Random(seed)
    labels = ["a", "ab", "b", *HOSTILE[:3]]
    theirs: BaseStore = InMemoryStore()
    async with StowfastStore(url, scope=uuid.uuid4().hex) as ours:
        for _ in range(25):
            namespace = tuple(randomness.choices(labels, k=randomness.randrange(1, 4)))
            key = randomness.choice([*HOSTILE[:4], "k"])
            if "." in "".join(namespace):
                continue
            value, both = randomness.choice(VALUES), (ours, theirs)
            match randomness.choice(["put", "put", "put", "delete", "search", "list"]):
                case "put":
                    for store in both:
                        await store.aput(namespace, key, value)
                case "delete":
                    for store in both:
                        await store.adelete(namespace, key)
                case "search":
                    # A filter with an order raises in the store in memory for an item without the key.
                    conditions = randomness.choice(FILTERS[:4])
                    found = [await one.asearch(namespace[:1], filter=conditions, limit=100) for one in both]
                    assert seen(found[0]) == seen(found[1])
                case "list":
                    depth = randomness.choice([None, 1, 2])
                    ours_listed, theirs_listed = [
                        await one.alist_namespaces(prefix=namespace[:1], max_depth=depth) for one in both
                    ]
                    # The store in memory keeps namespaces that are empty.
                    assert set(ours_listed) <= set(theirs_listed)
            mine, other = [await one.aget(namespace, key) for one in both]
            assert (mine and mine.value) == (other and other.value)


async def test_a_search_reads_no_further_than_it_must_and_sorts_by_the_last_put(url: str) -> None:
    async with StowfastStore(url, scope=uuid.uuid4().hex, ttl={"refresh_on_read": True}) as store:
        for number in range(30):
            await store.aput(("n", str(number % 3)), str(number), {"number": number}, ttl=5)
        newest = await store.asearch(("n",), limit=4)
        if not url.startswith("s3"):  # a bucket counts seconds
            assert [item.value["number"] for item in newest] == [29, 28, 27, 26]
        before = await store.aget(("n", "0"), "0")
        assert before is not None
        again = await store.asearch(("n",), limit=30, filter={"number": 0})
        assert [item.updated_at for item in again] == [before.updated_at]  # a refresh is no update
        pages = [await store.asearch(("n",), limit=7, offset=start, refresh_ttl=False) for start in range(0, 35, 7)]
        assert sorted(item.value["number"] for page in pages for item in page) == list(range(30))


async def test_created_at_outlives_an_update_and_updated_at_moves(url: str) -> None:
    async with StowfastStore(url, scope=uuid.uuid4().hex) as store:
        await store.aput(("n",), "k", {"v": 1})
        first = await store.aget(("n",), "k")
        await store.aput(("n",), "k", {"v": 2})
        second = await store.aget(("n",), "k")
        assert isinstance(first, Item)
        assert isinstance(second, Item)
        assert first.created_at == second.created_at <= first.updated_at <= second.updated_at
        await store.adelete(("n",), "k")
        assert await store.aget(("n",), "k") is None
        await store.aput(("n",), "k", {"v": 3})
        third = await store.aget(("n",), "k")
        assert third is not None
        assert third.created_at >= second.updated_at


async def test_a_deleted_item_stays_deleted(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastStore(every_url, scope=scope) as mine, StowfastStore(every_url, scope=scope) as other:
        for deletes in (mine, other):
            await mine.aput(("n",), "k", {"v": 1})
            assert await other.aget(("n",), "k") is not None
            await deletes.adelete(("n",), "k")
            await deletes.adelete(("n",), "k")
            for one in (mine, other):
                assert await one.aget(("n",), "k") is None
                assert await one.asearch(("n",)) == []
                assert await one.alist_namespaces() == []


async def test_hostile_labels_and_keys_stay_apart(url: str) -> None:
    async with StowfastStore(url, scope=uuid.uuid4().hex) as store:
        labels = [one for one in HOSTILE if "." not in one]
        names: list[tuple[tuple[str, ...], str]] = [((label,), key) for label in labels for key in (*HOSTILE, "")]
        names += [((label, "x"), "k") for label in labels]
        for start in range(0, len(names), 30):
            await store.abatch([PutOp(ns, key, {"at": [*ns, key]}) for ns, key in names[start : start + 30]])
        for namespace, key in names:
            item = await store.aget(namespace, key)
            assert item is not None
            assert item.value == {"at": [*namespace, key]}
        for label in labels:
            found = await store.asearch((label,), limit=100)
            assert sorted(item.value["at"] for item in found) == sorted(
                [*namespace, key] for namespace, key in names if namespace[0] == label
            )
        assert sorted(await store.alist_namespaces(limit=1_000)) == sorted({namespace for namespace, _ in names})
        assert sorted(await store.alist_namespaces(prefix=("*", "x"))) == sorted((label, "x") for label in labels)
        assert await store.alist_namespaces(suffix=("a/b", "x")) == [("a/b", "x")]


async def test_a_wrong_call_stores_nothing(url: str) -> None:
    async with StowfastStore(url, scope=uuid.uuid4().hex) as store:
        good = PutOp(("n",), "good", {})
        for wrong in (
            PutOp(("n",), "k", {"x": float("nan")}),
            PutOp(("n",), "k", {"x": object()}),
            PutOp(("n",), "k", [1]),  # type: ignore[arg-type]
            PutOp(("n",), "k", {}, ttl=0),
            PutOp(("n",), "k", {}, ttl=float("inf")),
            PutOp(("\ud800",), "k", {}),
            PutOp(("n",) * 600, "k", {}),
            SearchOp(("n",), limit=-1),
            "nonsense",
        ):
            with pytest.raises(InvalidError):
                await store.abatch([good, wrong])  # type: ignore[list-item]
        with pytest.raises(InvalidNamespaceError):
            await store.abatch([good, GetOp(("a.b",), "k")])
        assert await store.asearch(()) == []
        await store.aput(("n",), "k", {"size": 1})
        with pytest.raises(InvalidError, match="no operator"):
            await store.asearch(("n",), filter={"size": {"$regex": "."}})


def test_vectors_are_refused_and_a_query_alone_is_left_aside() -> None:
    with pytest.raises(UnsupportedError, match="no vectors"):
        StowfastStore("memory:", index={"dims": 3})
    with StowfastStore("memory:", scope=uuid.uuid4().hex) as store:
        store.put(("n",), "k", {"text": "apple"}, index=["text"])
        (found,) = store.search(("n",), query="fruit")
        assert (found.key, found.score) == ("k", None)


async def test_a_filter_follows_dots_and_compares_only_what_has_an_order() -> None:
    async with StowfastStore("memory:", scope=uuid.uuid4().hex) as store:
        await store.aput(("n",), "dots", {"a.b": 1, "a": {"b": 2}})
        await store.aput(("n",), "nested", {"a": {"b": 3}, "list": [1, 2]})
        await store.aput(("n",), "text", {"a": {"b": "3"}})

        async def keys(conditions: dict[str, Any]) -> list[str]:
            return sorted(item.key for item in await store.asearch(("n",), filter=conditions))

        assert await keys({"a.b": 1}) == ["dots"]
        assert await keys({"a.b": {"$gt": 2}}) == ["nested"]
        assert await keys({"a.b": {"$gt": "2"}}) == ["text"]
        assert await keys({"a.b.c": None}) == ["dots", "nested", "text"]
        assert await keys({"list": (1, 2)}) == ["nested"]
        assert await keys({"a": {"b": {"$lte": 2}}}) == ["dots"]


async def test_a_refresh_never_outlives_a_put_and_an_expired_item_is_gone() -> None:
    stores = stowfast.Stores(MemoryBackend())
    store = StowfastStore(stores, ttl={"default_ttl": 1, "refresh_on_read": True})
    await store.aput(("n",), "k", {"v": 1})
    (document,) = await stores.documents.list(prefix="langgraph-store/n//k")
    await store.aget(("n",), "k")
    refreshed = await stores.documents.get(document.document_id)
    assert refreshed is not None
    assert document.expires_at is not None
    assert refreshed.expires_at is not None
    assert refreshed.expires_at > document.expires_at
    await store.aput(("n",), "k", {"v": 2}, ttl=None)
    await store._refresh(document)  # read before the put, prolonged after it
    kept = await stores.documents.get(document.document_id)
    assert kept is not None
    assert (kept.data["value"], kept.expires_at) == ({"v": 2}, None)
    await stores.documents.set_expiry(document.document_id, datetime.now(UTC))
    assert await store.aget(("n",), "k") is None
    assert await store.asearch(()) == []
    assert await store.alist_namespaces() == []


async def test_a_read_prolongs_nothing_by_default() -> None:
    stores = stowfast.Stores(MemoryBackend())
    store = StowfastStore(stores, ttl={"default_ttl": 1})
    await store.aput(("n",), "k", {})
    await store.aget(("n",), "k", refresh_ttl=True)
    (document,) = await stores.documents.list()
    assert document.version == 1


async def test_a_lost_answer_stays_inside(url: str) -> None:
    async with await stowfast.open(url) as stores:
        backend = LosesAnswers(stores.backend, count=3)
        store = StowfastStore(stowfast.Stores(backend))
        await store.abatch([PutOp(("n",), str(number), {}) for number in range(3)])
        (document, *_) = await stores.documents.list(prefix="langgraph-store/")
        assert document.version == 1
        backend.lose = 1
        await store.adelete(("n",), "0")
        assert len(await store.asearch(("n",))) == 2


async def test_a_bucket_that_loses_answers_stores_an_item_once(losing_bucket: LosingBucket) -> None:
    async with StowfastStore(losing_bucket.url) as store:
        for number in range(4):
            losing_bucket.lose_answer()
            await store.aput(("n",), str(number % 2), {"number": number})
        losing_bucket.lose_answer()
        await store.adelete(("n",), "0")
        assert [one.value for one in await store.asearch(("n",))] == [{"number": 3}]
    async with await stowfast.open(losing_bucket.url) as stores:
        (document,) = await stores.documents.list(prefix="langgraph-store/")
        assert document.version == 2


async def test_a_cancelled_put_is_stored_or_not_and_the_next_one_wins(url: str) -> None:
    async with StowfastStore(url, scope=uuid.uuid4().hex) as store:
        for number in range(10):
            put = asyncio.create_task(store.aput(("n",), "k", {"v": number}))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            put.cancel()
            await asyncio.gather(put, return_exceptions=True)
            item = await store.aget(("n",), "k")
            assert item is None or item.value["v"] <= number
        await store.aput(("n",), "k", {"v": "last"})
        item = await store.aget(("n",), "k")
        assert item is not None
        assert item.value == {"v": "last"}


async def test_both_faces_work_in_a_running_loop_and_in_threads(url: str) -> None:
    async with StowfastStore(url, scope=uuid.uuid4().hex) as store:
        store.put(("n",), "loop", {"v": 1})
        thread = threading.Thread(target=lambda: store.put(("n",), "thread", {"v": 2}))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert sorted(item.key for item in await store.asearch(("n",))) == ["loop", "thread"]
