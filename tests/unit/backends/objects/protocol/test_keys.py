"""Keys: one for each name, in the order of names, of characters every store takes as they are."""

from __future__ import annotations

import re

import obstore
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore

from stowfast import DamagedError
from stowfast.abc import MAX_NAME_BYTES
from stowfast.backends.objects.protocol.keys import HEADS, MARKER, decode, encode, is_blob, keys_at, keys_of, prefix_of
from stowfast.testing.backend.names import HOSTILE

SEGMENT, BLOB = "0123456789abcdef" * 2, f"{'0123456789abcdef' * 2}-123456789012345"
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
TRICKY = st.sampled_from(
    [*"ab/.-!+=~_ %AZ09", "\x01", "\x7f", "é", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", *HOSTILE]
)
NAMES = st.lists(TRICKY | CHARACTERS, min_size=1, max_size=12).map("".join) | st.builds(
    lambda kind, text, times, end: f"{kind}/{text * times}{end}",
    st.sampled_from(["k", "", "A" * 30]), st.sampled_from(["x", "é", ".", "a/", "Z"]), st.integers(30, 260),
    st.text(CHARACTERS, max_size=3),
)  # fmt: skip
NAMES = NAMES.filter(lambda name: 0 < len(name.encode()) <= MAX_NAME_BYTES)
LONG = "k/" + "x" * 250


def object_keys(name: str) -> list[str]:
    place = keys_of(name)
    return [place.head, place.segment(1, SEGMENT), place.segment(2**40, SEGMENT), place.blob(BLOB)]


@given(NAMES, NAMES)
@example("a/b", "a_b")
@example("a", "+/a")
@example("a/", "a/!")
@example("A", "a")
@example("k/" + "é" * 200 + "a", "k/" + "é" * 200 + "b")
@example("\u0130", "i\u0307")
def test_two_names_never_share_a_key_whatever_the_case(one, other):
    if one != other:
        assert not {key.lower() for key in object_keys(one)} & {key.lower() for key in object_keys(other)}


@given(NAMES)
def test_a_key_tells_its_place_and_its_name(name):
    place = keys_of(name)
    for key in object_keys(name):
        assert keys_at(key) == place
        assert is_blob(key) == (key == place.blob(BLOB))
    assert place.name == name or ("=" in place.rest and place.name is None)
    assert ("=" in place.rest) == (len(encode(name if place.kind == "+" else name.partition("/")[2])) > 200)


@given(NAMES)
@example("." * 40 + "/" + "." * 66)
@example("../..")
@example("é" * 600)
@example("_" * 20 + "/" + "\x7f" * 1_000)
def test_a_key_is_one_that_every_store_takes(name):
    for key in object_keys(name):
        assert re.fullmatch(r"[a-z0-9!._~+=/-]{1,400}", key)
        assert not {"", ".", ".."} & set(key.split("/"))
        assert not key.endswith(".")  # which Windows and some gateways strip


@given(NAMES, NAMES)
@example("k/a", "k/a!")
@example("k/", "k/\x01")
@example("k/\uffff", "k/\U00010000")
@example("k/-", "k/.")
def test_keys_are_in_the_order_of_names_within_a_kind(one, other):
    first, second = keys_of(one), keys_of(other)
    if first.kind == second.kind and first.name and second.name:
        assert (first.head < second.head) == (one < other)


@given(st.text(CHARACTERS, max_size=8), st.text(CHARACTERS, max_size=8))
def test_what_is_encoded_sorts_and_begins_as_before(one, other):
    assert decode(encode(one)) == one
    assert (encode(one) < encode(other)) == (one < other)
    assert encode(one).startswith(encode(other)) == one.startswith(other)


@given(NAMES, st.integers(0, 300))
@example(LONG, 150)
@example(LONG, 122)
@example(LONG, 123)
@example("k/" + "é" * 100, 2 + 20)
@example("k/" + "é" * 100, 2 + 21)
def test_a_stream_is_found_by_every_beginning_of_its_name(name, length):
    place, prefix = keys_of(name), prefix_of(name[:length])
    assert place.head.startswith(prefix.folder)
    assert prefix.may_hold(place)
    if prefix.whole_kind:
        assert prefix.before is None or prefix.before < place.head


@given(NAMES, st.text(CHARACTERS, max_size=4), st.sampled_from(["", "k/", "k"]))
def test_what_begins_otherwise_is_kept_out(name, start, kind):
    prefix, place = prefix_of(kind + start), keys_of(name)
    if prefix.may_hold(place) and place.name is not None and prefix.whole_kind:
        assert name.startswith(kind + start)


@given(NAMES, NAMES)
def test_what_sorts_before_a_beginning_is_not_listed(name, other):
    prefix, place = prefix_of(name), keys_of(other)
    if prefix.whole_kind and prefix.before is not None and prefix.folder == prefix_of(other).folder and place.name:
        assert (prefix.before < place.head) == (other >= name)


@given(NAMES, NAMES)
@example(LONG, "k/" + "x" * 120)
@example(LONG, "k/" + "x" * 119 + "a")
@example(LONG, "k/" + "x" * 119 + "z")
@example(LONG, "k/" + "x" * 119)
def test_an_orderly_key_is_in_order_with_all_others_long_ones_too(one, other):
    first, second = keys_of(one), keys_of(other)
    if first.kind == second.kind and first.is_orderly and one != other:
        assert (first.head < second.head) == (one < other)


@pytest.mark.parametrize("name", [*HOSTILE, *(f"kind/{name}" for name in HOSTILE), *(f"{name}/x" for name in HOSTILE)])
def test_a_hostile_name_has_a_key(name):
    assert name.startswith("\0") or keys_of(name).name in (name, None)
    assert len({keys_of(other).head for other in (*HOSTILE, name)}) == len({*HOSTILE, name})


def test_obstore_leaves_keys_as_they_are(tmp_path):
    # object_store escapes or refuses some characters of a path, which would give a key two spellings.
    names = [*HOSTILE, *(f"kind/{name}" for name in HOSTILE), *map(chr, range(1, 256)), LONG]
    keys = sorted({key for name in names for key in object_keys(name)})
    stores: list[MemoryStore | LocalStore] = [MemoryStore(), LocalStore(tmp_path)]
    for store in stores:
        for key in keys:
            obstore.put(store, key, key.encode())
        assert sorted(meta["path"] for page in obstore.list(store) for meta in page) == keys
        assert all(bytes(obstore.get(store, key).bytes()) == key.encode() for key in keys)
        after = keys[len(keys) // 2]
        assert sorted(meta["path"] for page in obstore.list(store, offset=after) for meta in page) == [
            key for key in keys if key > after
        ]
        assert sorted(meta["path"] for page in obstore.list(store, "h/kind") for meta in page) == [
            key for key in keys if key.startswith("h/kind/")
        ]


@given(st.text(max_size=12) | st.text("ab/+=!._~-0f", max_size=12))
@example("\udc80")
@example("!4a")
@example("!0")
@example("~ff")
@example("~c3~a")
@example("A")
@example("_41\n")
@example("~ed~a0~80")
@example("")
def test_what_is_no_code_is_damage(key):
    try:
        text = decode(key)
    except DamagedError:
        return
    assert encode(text) == key


@given(st.text(max_size=20) | st.text("ab/+=!._~-0f", max_size=20))
def test_any_key_of_a_listing_has_a_place_and_a_name_or_is_damage(key):
    place = keys_at(f"{HEADS}{key}!.sfh")
    if place is not None:
        prefix_of("k/").may_hold(place)
        assert place.name is None or keys_of(place.name) == place  # two keys never tell one name


OTHERS = [
    "h/k!.sfh", "h/k/!.sfh", "h/+/k.2fa!.sfh", "h//a!.sfh", "h/K/a!.sfh", "h/k/a.!.sfh", "h/k/A!.sfh", "h/+/!.sfh",
    "h/k/a", "h/k/a!.sfs", "h/k/a/b!.sfh", "h/k/=a!.sfh",
    f"h/k/{'a' * 120}={'A' * 52}!.sfh", f"h/K/{'a' * 120}={'a' * 52}!.sfh",
    f"x/k/a/b/{SEGMENT}.sfb", f"d/k/a/b/{SEGMENT}", f"d/k/a/b/{SEGMENT}0.sfb", f"d/k/a/b/{SEGMENT.upper()}.sfb",
    f"d/k/a/c/{SEGMENT}.sfb", f"d/k/a/b/c/{SEGMENT}.sfb", f"d/d/k/a/b/{SEGMENT}.sfb", f"d/k/A/b/{SEGMENT}.sfb",
    f"d/k/a/00000001/{SEGMENT}", f"d/k/a/1/{SEGMENT}.sfs", f"d/k/a/000000001/{SEGMENT}.sfs", "d/k/a/00000001/f.sfs",
    f"d/k/a/00000001/{SEGMENT}.sfb", f"d/k/a/b/{SEGMENT}.sfs", f"d/k/a/00000001/{SEGMENT}.sfs/x",
]  # fmt: skip


@pytest.mark.parametrize("key", OTHERS)
def test_a_key_of_somebody_else_is_no_stream(key):
    assert keys_at(key) is None


@given(NAMES, st.lists(st.sampled_from(["h", "d", "i", "k", "a", "b", "00000001", SEGMENT]), min_size=1, max_size=4))
def test_no_key_of_an_inner_store_has_the_form_of_one_of_ours(name, prefix):
    for key in [*object_keys(name), MARKER]:
        assert keys_at("/".join([*prefix, key])) is None


ESCAPED = [*range(0x01, 0x2D), 0x2E, 0x2F, *range(0x3A, 0x61), *range(0x7B, 0x80)]


def test_each_character_has_the_key_it_always_had() -> None:
    # Keys are part of the stored format: a stream whose key is written in another way is lost.
    for byte in range(1, 128):
        mark = "!" if byte <= 0x2C else "." if byte <= 0x2F else "_" if byte <= 0x60 else "~"
        written = f"{mark}{byte:02x}" if byte in ESCAPED else chr(byte)
        assert (encode(chr(byte)), encode(f"{chr(byte)}A")) == (written, f"{written}_41")


def test_names_at_the_bounds_have_the_keys_they_always_had() -> None:
    assert keys_of("k/" + "x" * 200).rest == "x" * 200
    assert keys_of("k/" + "x" * 201).rest.startswith("x" * 120 + "=")
    for length in (60, 61):
        long = keys_of("a" * length + "/" + "x" * 201)
        assert (long.kind == "+") == (length > 60)
        assert keys_at(long.head) == long
    assert [keys_of("k/" + "x" * length).is_orderly for length in (119, 120)] == [True, False]
    assert [prefix_of("k/" + "x" * length).whole_kind for length in (120, 121)] == [True, False]


def test_a_listing_of_all_kinds_is_in_order_but_for_streams_without_a_kind() -> None:
    long = "k/" + "x" * 200
    told = {
        prefix: [prefix_of(prefix).is_orderly(keys_of(name)) for name in ("k/a", "a", long)]
        for prefix in ("", "k/", f"{'a' * 61}/")
    }
    assert told == {"": [True, False, False], "k/": [True, True, False], f"{'a' * 61}/": [True, True, False]}


def test_a_listing_begins_right_before_its_prefix() -> None:
    assert [prefix_of(prefix).before for prefix in ("", "k/", "k/b", "k/-")] == [None, None, "h/k/a~~", "h/k/!~~"]
    assert not prefix_of("k/z").may_hold(keys_of(LONG))
