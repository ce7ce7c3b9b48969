"""The history of a task as bytes: whatever is edited, every version comes back exactly, or is a DamagedError."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowfast import DamagedError, NotFoundError, Retention, Stores, Tasks, TaskState
from stowfast import deltas as history
from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.backends.memory import MemoryBackend
from stowfast.deltas import Span, Stored, begin, chain_of, follow, parse, rebuild
from stowfast.testing.tasks.states import noise

MIB = 2**20
zstd = history._zstd()

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


def some(chance: random.Random) -> Any:
    return chance.choice(
        [
            None, True, 1, 1.0, -0.0, 2**70, "", "é日\u2028\x00", [], {}, [[]], {"": []}, chance.random(),
            noise(chance.choice((5, 50, 500)), chance.random()), "x" * chance.choice((3, 3_000)), list(range(40)),
        ]
    )  # fmt: skip


def edited(value: Any, chance: random.Random) -> Any:
    """Return a value with one edit, anywhere in it."""
    if chance.random() < 0.02:
        return some(chance)
    if isinstance(value, list) and value:
        at = chance.randrange(len(value))
        how = chance.randrange(6)
        if how == 0:
            return [*value[:at], *value[at + 1 :]]
        if how == 1:
            return [*value[:at], some(chance), *value[at:]]
        if how == 2:
            return [*value[at:], *value[:at]]
        if how == 3:
            return [*value, some(chance)]
        return [*value[:at], edited(value[at], chance), *value[at + 1 :]]
    if isinstance(value, dict) and value:
        key = chance.choice(list(value))
        how = chance.randrange(5)
        if how == 0:
            return {one: inner for one, inner in value.items() if one != key}
        if how == 1:
            return {noise(8, chance.random()): some(chance), **value}
        return {**value, key: edited(value[key], chance)}
    if isinstance(value, str) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice(("", "é", "\n\\", noise(20, at))) + value[at + chance.randrange(3) :]
    return some(chance)


def written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def kept(texts: list[bytes]) -> tuple[list[bytes], Span]:
    """Store texts one after the other, as a process does that never stops."""
    entry, span = begin(0, texts[0], None, 0)
    entries = [entry]
    for now, text in enumerate(texts[1:], 1):
        entry, span = follow(span, text, now)
        entries.append(entry)
        assert span.position == now
        assert span.text == text
    return entries, span


def stored(entries: list[bytes]) -> dict[int, Stored]:
    return {position: parse(entry, position, "here") for position, entry in enumerate(entries)}


def resumed(entries: list[bytes], position: int) -> Span:
    """Return what a process knows of the versions that has just read them."""
    one = stored(entries)
    return Span(position, rebuild(position, one, "here"), chain_of(position, one, "here"))


@pytest.mark.parametrize(("radix", "longest"), [(2, 8), (4, 64), (16, 4096)])
@given(first=values, seed=st.integers(0, 2**32), count=st.integers(1, 120))
@settings(max_examples=40)
def test_every_edit_comes_back_cold_and_warm(radix, longest, first, seed, count) -> None:
    chance = random.Random(seed)
    value, texts = {"edited": first, "large": noise(chance.choice((0, 300, 9_000)), seed)}, list[bytes]()
    for _ in range(count):
        texts.append(written(value))
        value = edited(value, chance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_RADIX", radix)
        patch.setattr(history, "_LONGEST", longest)
        entries, span = kept(texts)
        for cold in {chance.randrange(count), count - 1}:
            # Who reads it goes on as who wrote it: the same bytes, so that it does not matter which of them saves.
            again = resumed(entries, cold)
            if cold == count - 1:
                assert again == span
            else:
                assert follow(again, texts[cold + 1], cold + 1)[0] == entries[cold + 1]
    one = stored(entries)
    for position, text in enumerate(texts):
        assert rebuild(position, one, "here") == text
        # Twice as many where a small text, which is whole, stands in the way of those further back.
        assert len(chain_of(position, one, "here")) <= 2 * (3 * (radix - 1) + 1)
    known = dict(enumerate(texts[: count // 2]))
    assert [rebuild(position, one, "here", known) for position in range(count)] == texts


def test_a_span_of_all_its_versions_ends_with_a_whole_one(monkeypatch) -> None:
    monkeypatch.setattr(history, "_RADIX", 4)
    monkeypatch.setattr(history, "_LONGEST", 64)
    texts = [written({"large": noise(60_000), "n": number}) for number in range(200)]
    entries, span = kept(texts)
    one = stored(entries)
    assert [position for position, found in one.items() if found.whole == position] == [0, 64, 128, 192]
    assert [position for position, _ in span.earlier] == [0, 64, 128]
    assert [now for _, now in span.earlier] == [64, 128, 192]
    bases = {position: position - found.base for position, found in one.items() if found.whole != position}
    assert {position: bases[position] for position in (1, 4, 5, 16, 20, 48, 63)} == {
        1: 1, 4: 4, 5: 1, 16: 16, 20: 4, 48: 16, 63: 1,
    }  # fmt: skip
    assert max(len(chain_of(position, one, "here")) for position in one) == 3 * 3 + 1


def test_no_more_is_read_than_twice_what_it_takes() -> None:
    texts = [written({"large": noise(8_000), "n": noise(60, number)}) for number in range(400)]
    one = stored(kept(texts)[0])
    for position, found in one.items():
        whole, *rest = (len(one[at].body) for at in range(found.whole, position + 1))
        assert sum(rest) == found.deltas <= max(whole, history._SHORT)
        assert found.span == whole


def test_what_is_known_of_whole_versions_before_has_an_end() -> None:
    entries, span = kept([written(noise(600, number)) for number in range(1_000)])
    earlier = span.earlier
    assert 8 <= len(earlier) <= 16
    assert earlier == sorted(earlier)
    assert earlier[0][0] == 0
    assert all(began < ended for began, ended in earlier)
    assert earlier[-1][0] < span.newest.whole
    assert max(map(len, entries)) < 600 / 2 + 16 * 10


ENTRIES, _ = kept([written({"large": noise(2_000), "n": number, "more": noise(40, number)}) for number in range(9)])
TEXTS = [rebuild(position, stored(ENTRIES), "here") for position in range(9)]


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def entry_of(*fields: Any) -> bytes:
    return sealed(b"\x01" + msgspec.msgpack.encode(fields))


def refused_or_right(entries: list[bytes], position: int) -> None:
    try:
        text = rebuild(position, stored(entries), "here")
    except DamagedError:
        return
    assert text == TEXTS[position]


@given(at=st.integers(0, 8), offset=st.integers(0, 10**6), flip=st.integers(1, 255), mend=st.booleans())
@settings(max_examples=500)
def test_a_damaged_byte_is_noticed(at, offset, flip, mend) -> None:
    damaged = bytearray(ENTRIES[at])
    damaged[offset % len(damaged)] ^= flip
    if not mend:
        with pytest.raises(DamagedError):
            parse(bytes(damaged), at, "here")
        return
    # Even where the outer checksum was made to fit, the one of the text does not.
    entries = [*ENTRIES[:at], sealed(bytes(damaged[:-4])), *ENTRIES[at + 1 :]]
    for position in range(9):
        refused_or_right(entries, position)


@given(at=st.integers(0, 8), field=st.integers(0, 10), data=st.data())
@settings(max_examples=500)
def test_a_forged_number_is_noticed(at, field, data) -> None:
    fields = msgspec.msgpack.decode(ENTRIES[at][1:-4])
    fields[field] = data.draw(
        st.one_of(st.integers(-3, 12), st.integers(-(2**70), 2**63), st.booleans(), st.none(), st.binary(max_size=99))
        | st.just([[1, 2]] * 9) | st.just(fields[7][:-1]) | st.just(fields[7] * 2) | st.just(fields[7] + b"\0")
    )  # fmt: skip
    try:
        forged = entry_of(*fields)
    except OverflowError:
        return
    entries = [*ENTRIES[:at], forged, *ENTRIES[at + 1 :]]
    for position in range(9):
        refused_or_right(entries, position)


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=300)
def test_what_is_no_entry_is_damaged(body, tagged) -> None:
    with pytest.raises(DamagedError):
        parse(sealed(b"\x01" + body) if tagged else body, 3, "here")


@pytest.mark.parametrize("missing", range(9))
def test_a_missing_entry_is_damage_to_what_is_made_from_it(missing) -> None:
    one = stored(ENTRIES)
    del one[missing]
    for position in set(range(9)) - {missing}:
        made_from = {at for at, _ in chain_of(position, stored(ENTRIES), "here")}
        if missing in made_from:
            with pytest.raises(DamagedError, match=f"version {missing + 1}, from which it is made, is missing"):
                rebuild(position, one, "here")
        else:
            assert rebuild(position, one, "here") == TEXTS[position]


def bomb(size: int) -> bytes:
    option = zstd.CompressionParameter
    packed: bytes = zstd.compress(bytes(size), options={option.compression_level: 1, option.checksum_flag: 1})
    return packed


@pytest.mark.parametrize(
    ("says", "body"),
    [
        (100, bomb(256 * MIB)),
        (0, bomb(256 * MIB)),
        (MIB, bomb(256 * MIB)),
        (2 * MIB, bomb(MIB)),
        (2 * MIB, bomb(MIB) * 2),
        (MIB, bomb(MIB)[:-1]),
        (MIB, bomb(MIB) + b"\0"),
        (MIB, b""),
        (MIB, b"no frame"),
    ],
    ids=["large", "nothing", "larger", "smaller", "two frames", "cut", "longer", "empty", "no frame"],
)
@pytest.mark.parametrize("whole", [True, False])
def test_no_more_is_made_of_an_entry_than_it_says(says, body, whole) -> None:
    at = -1 if whole else 0
    fields: tuple[Any, ...] = (at, at, says, 0, 0, 0, True, body, len(body), 0, [])
    one = {0: parse(ENTRIES[0], 0, "here"), 1: parse(entry_of(*fields), 1, "here")}
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            rebuild(1, one, "here")
        assert tracemalloc.get_traced_memory()[1] < says + 2 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("says", [-1, MAX_ENTRY_BYTES + 1, 2**62, 2**64 - 1])
def test_an_entry_says_no_more_than_there_may_be(says) -> None:
    with pytest.raises(DamagedError):
        parse(entry_of(-1, -1, says, 0, 0, 0, True, bomb(MIB), 1, 0, []), 0, "here")


def test_a_frame_that_looks_back_too_far_is_refused() -> None:
    option = zstd.CompressionParameter
    options = {option.window_log: 30, option.enable_long_distance_matching: 1, option.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    body = packer.compress(noise(5_000).encode()) + packer.flush()
    with pytest.raises(DamagedError):
        rebuild(0, {0: parse(entry_of(-1, -1, 5_000, 0, 0, 0, True, body, 1, 0, []), 0, "here")}, "here")


class Model:
    """What a task must be: its versions by number, and how many of them are kept."""

    def __init__(self) -> None:
        self.versions: list[Any] = []
        self.first = 1

    def shown(self, keep: int | None) -> range:
        newest = len(self.versions)
        first = self.first if keep is None else max(self.first, newest - keep + 1)
        return range(first, newest + 1)


ACTS = ("save", "save", "save", "save", "load", "prune", "keep", "rewind", "delete")


@given(st.integers(0, 2**32), st.lists(st.sampled_from(ACTS), max_size=80))
@settings(max_examples=60)
def test_any_sequence_of_calls_by_any_process_keeps_what_it_says(seed, acts) -> None:
    asyncio.run(keeps_what_it_says(random.Random(seed), acts))


async def keeps_what_it_says(chance: random.Random, acts: list[str]) -> None:
    place = MemoryBackend()
    processes = [Tasks(place), Tasks(place)]
    model, keep, value = Model(), None, {"large": noise(3_000, chance.random()), "edited": [1, {"a": "b"}]}
    for act in acts:
        tasks = chance.choice([*processes, Tasks(place)])
        newest = len(model.versions)
        if act in ("save", "keep"):
            value = edited(value, chance)
            retention = None
            if act == "keep":
                # Only ever less: what was out of bounds may be there still, or gone.
                keep = min(keep or 9, chance.choice((1, 3, 9)))
                retention = Retention(versions=keep)
            state = await tasks.save(TaskState(task_id="t", data=value), retention=retention)
            assert state.version == newest + 1
            model.versions.append(value)
        elif act == "prune" and newest:
            count = chance.choice((1, 2, 5, 50))
            await tasks.prune("t", keep=count)
            model.first = max(model.first, newest - count + 1)
        elif act == "rewind" and newest:
            version = chance.randrange(1, newest + 1)
            if version in model.shown(keep):
                value = (await tasks.rewind("t", version)).data
                model.versions.append(value)
            else:
                with pytest.raises(NotFoundError):
                    await tasks.rewind("t", version)
        elif act == "delete":
            await tasks.delete("t")
            model, keep = Model(), None
        await holds(tasks, model, keep, chance)
    for tasks in (*processes, Tasks(place)):
        await holds(tasks, model, keep, chance, every=True)


async def holds(tasks: Tasks, model: Model, keep: int | None, chance: random.Random, *, every: bool = False) -> None:
    shown, newest = model.shown(keep), len(model.versions)
    for version in range(1, newest + 2) if every else {newest, chance.randrange(1, newest + 2)} - {0}:
        found = await tasks.load("t", version=version)
        assert (found is not None) == (version in shown), f"version {version} where {shown} are shown"
        if found is not None:
            assert written(found.data) == written(model.versions[version - 1])
    latest = await tasks.load("t")
    assert (latest and latest.version) == (newest or None)
    states = await tasks.history("t", limit=1_000 if every else 3)
    wanted = list(shown)[::-1][: 1_000 if every else 3]
    assert [state.version for state in states] == wanted
    assert [written(one.data) for one in states] == [written(model.versions[number - 1]) for number in wanted]


@pytest.mark.slow
async def test_hundreds_of_edits_of_a_large_state_are_exact() -> None:
    chance, stores = random.Random(8), Stores(MemoryBackend())
    value: Any = {
        "messages": [{"n": n, "text": noise(200, n)} for n in range(100)],
        "constant": noise(40_000),
        "edited": [],
    }
    given_values = []
    for number in range(400):
        key = chance.choice(("messages", "edited"))
        inner = edited(value[key], chance)
        value = {**value, key: inner if isinstance(inner, list) and len(inner) > 50 else [*value[key], some(chance)]}
        given_values.append(written(value))
        tasks = stores.tasks if number % 7 else Tasks(stores.backend)
        await tasks.save(TaskState(task_id="t", data=value))
    cold = Tasks(stores.backend)
    for version, wanted in enumerate(given_values, 1):
        found = await cold.load("t", version=version)
        assert found is not None
        assert written(found.data) == wanted
    states = await cold.history("t", limit=400)
    assert [written(state.data) for state in reversed(states)] == given_values
    _, entries = await stores.backend.read("tasks/t")
    size = sum(len(entry.data) for entry in entries)
    print(f"400 edits of a state that has {len(given_values[-1]):,} bytes at last: {size:,} bytes stored")
    assert size < sum(map(len, given_values)) / 20
