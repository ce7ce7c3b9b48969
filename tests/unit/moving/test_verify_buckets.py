"""A damage of each kind of object in a bucket is found. Objects of other programs are none."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import InvalidError, UnsupportedError, moving
from stowfast.abc import Change, Query
from stowfast.backends.objects.protocol.keys import MARKER, keys_at
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.moving.places import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {
    "marker",
    "index",
    "blob",
    "segment",
    "large segment",
    "segment of an expired stream",
    "living head",
    "expiring head",
    "expired head",
    "quiet head",
    "tombstone",
    "living head of a long name",
    "tombstone of a long name",
}
LONG = "long-" * 60
FLIPS = 6
"""Flipped bits in each kind of object."""
LARGE = 2**20
FOREIGN = ("notes.txt", "h/readme.md", "h/messages/UPPER!.sfh", "d/x", "i/a/b.sfi", "i/notes.json", "stowfast.txt")


def kind_of(key: str, body: bytes) -> str:
    """Return the kind of an object of ours; its key for one of no known kind."""
    if key == MARKER:
        return "marker"
    if key.startswith("i/"):
        return "index"
    if keys_at(key) is None:
        return key
    if key.startswith("h/"):
        kinds = ("living head", "expiring head", "tombstone", "quiet head")
        kind = "expired head" if "expired" in key else kinds[len(body) % 4]
        return f"{kind} of a long name" if "=" in key else kind
    if key.endswith(".sfb"):
        return "blob"
    if "/expired" in key:
        return "segment of an expired stream"
    return "large segment" if len(body) > LARGE else "segment"


async def fill_with_all_kinds(stores: stowfast.Stores) -> None:
    """Make every kind of object that a bucket of ours holds at rest."""
    await fill(stores)
    for number in range(12):
        await stores.messages.add_message("sealed", {"n": number, "text": "x" * 50_000})
    incompressible = random.Random(3)
    await stores.backend.commit(
        "other/large", Change(entries=[incompressible.randbytes(2**18) for _ in range(8)], expect=0)
    )
    large = [incompressible.randbytes(2**18) for _ in range(4)]
    await stores.backend.commit("other/expired", Change(entries=large, expect=0))
    await stores.backend.commit("other/expired", Change(entries=[b"x"]))
    await stores.backend.commit("other/expired", Change(expires_at=1))
    for name in (LONG, f"{LONG}deleted"):
        await stores.messages.add_message(name, {"n": 1})
    await stores.messages.delete(f"{LONG}deleted")
    for number in range(20):
        await stores.documents.put(f"indexed-{number}", {"n": number})
    await stores.backend.streams(Query("documents/", order="recent", heads=True))


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url_of(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


async def named(url: str, key: str) -> bool:
    """Say whether a verification names an object, or the stream that it belongs to."""
    place = keys_at(key)
    try:
        found = await moving.verify(url)
    except (InvalidError, UnsupportedError) as error:
        return key == MARKER and key in str(error)
    names = {key, place and place.name, place and place.head}
    return any(one.stream in names or LONG in one.stream for one in found.damaged)


def damages_of(kind: str, body: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield the body damaged: bits flipped, cut, emptied, and replaced by other bytes."""
    # The digits of a marker's id are read by nothing.
    places = range(body.index(b'"id"') + 3) if kind == "marker" else range(len(body))
    for at in [0, 3, *(chance.choice(places) for _ in range(FLIPS))]:
        flipped = bytearray(body)
        flipped[at] ^= 1 << chance.randrange(8)
        yield bytes(flipped)
    yield body[:-1]
    yield body[: len(body) // 2]
    yield body[: len(body) // 2 + 1]
    yield b""
    yield chance.randbytes(len(body))


async def test_a_damage_of_each_kind_of_object_is_named(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await fill_with_all_kinds(stores)
    clean = await moving.verify(url_of(server))
    assert clean.damaged == []
    objects: dict[str, str] = {}
    whole = server.objects
    for key, body in whole.items():
        objects.setdefault(kind_of(key, body), key)
    assert set(objects) == KINDS
    chance, missed = random.Random(7), list[tuple[str, int]]()
    for kind, key in objects.items():
        for number, body in enumerate(damages_of(kind, whole[key], chance)):
            server.put(key, body)
            if not await named(url_of(server), key):
                missed.append((kind, number))
        server.put(key, whole[key])
    assert missed == []
    again = await moving.verify(url_of(server))
    assert (again.damaged, again.digest) == ([], clean.digest)


async def test_objects_of_other_programs_are_no_damage(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await fill(stores)
        for key in FOREIGN:
            server.put(key, b"not ours")
        assert (await moving.verify(stores)).damaged == []


async def test_a_lost_marker_is_named(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        assert (await moving.verify(stores)).damaged == []
        await fill(stores)
        server.delete(MARKER)
        assert [one.stream for one in (await moving.verify(stores)).damaged] == [MARKER]


async def test_the_damage_of_a_marker_is_named_beside_that_of_streams(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await fill(stores)
        server.put(MARKER, b"{}")
        server.put("h/messages/deleted!.sfh", b"x" * 42)
        assert [one.stream for one in (await moving.verify(stores)).damaged] == [MARKER, "messages/deleted"]
