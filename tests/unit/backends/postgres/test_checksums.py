"""Checksums of rows: the same in Python and in SQL, and no flipped bit of a field goes unseen."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import psycopg
import pytest

import stowfast
from stowfast import DamagedError, UnsupportedError
from stowfast.abc import Change
from stowfast.backends.postgres.backend import PostgresBackend
from stowfast.backends.postgres.checksums import (
    MOVED,
    PLACED,
    checksum_of_entry,
    checksum_of_head,
    moved,
    placed,
    seed_of,
)

if TYPE_CHECKING:
    from tests.services.postgres import PostgresServer

NUMBERS = [0, 1, 2**31 - 20, 2**31 - 19, 2**31 - 1, 2**31, 2**53, 2**62 - 1]


def test_the_server_computes_the_same(postgres_server: PostgresServer) -> None:
    chance = random.Random(3)
    fields = {"position": "$1::bigint", "created_at": "$2::bigint", "next": "$1::bigint", "length": "$3::bigint"}
    both = [one.format(**fields, updated_at="$2::bigint").replace("$", "%") for one in (PLACED, MOVED)]
    query = f"SELECT {both[0]}, {both[1]}"
    for number in (1, 2, 3):
        query = query.replace(f"%{number}", f"%(n{number})s")
    with psycopg.connect(f"{postgres_server.endpoint}/postgres") as connection:
        for _ in range(100):
            first, second, third = (chance.choice(NUMBERS) for _ in range(3))
            row = connection.execute(query.encode(), {"n1": first, "n2": second, "n3": third}).fetchone()
            assert row == (placed(first, second), moved(first, third, second))


@pytest.mark.parametrize("bit", range(62))
def test_each_flipped_bit_of_a_number_changes_the_checksum(bit: int) -> None:
    one, flip = 1_234_567_890_123, 1 << bit
    assert placed(one, 7) != placed(one ^ flip, 7)
    assert placed(7, one) != placed(7, one ^ flip)
    assert len({moved(one, one, one), moved(one ^ flip, one, one), moved(one, one ^ flip, one),
                moved(one, one, one ^ flip)}) == 4  # fmt: skip


def test_neighbours_have_checksums_of_their_own() -> None:
    """No field can pass a part of itself on to the next."""
    assert seed_of("c", None) != seed_of("c", "")
    assert seed_of("c", "ab") != seed_of("ca", "b")
    sums = {
        checksum_of_entry(seed_of(stream, op_id), data, position, at)
        for stream in ("a", "b")
        for op_id in (None, "1")
        for data in (b"", b"x")
        for position in (0, 1)
        for at in (0, 1)
    }
    assert len(sums) == 32
    heads = {
        checksum_of_head(("n", gone, *fixed), *parts, 1, 1, 1)
        for gone in (None, "") for fixed in ((1, 11), (11, 1)) for parts in ((b"", b"ab"), (b"a", b"b"), (b"ab", b""))
    }  # fmt: skip
    assert len(heads) == 12


async def test_a_changed_row_is_never_given_nor_built_upon(postgres_server: PostgresServer) -> None:
    address, _, query = postgres_server.url().partition("?")
    schema = query.partition("=")[2]
    backend = await PostgresBackend.open(address, schema=schema)
    try:
        for n in range(3):
            await backend.commit_many([(f"c/{n}", Change([b"%d" % one])) for one in range(4)])
        await backend.commit("c/2", Change(expires_at=4 * 10**15))
        ids = "SELECT id FROM {0}.streams WHERE name = '{1}'"
        postgres_server.run(
            f"UPDATE {schema}.entries SET data = 'x' WHERE position = 2 AND stream = ({ids.format(schema, 'c/0')})",
            f"UPDATE {schema}.streams SET revision = 0, length = 3 WHERE name = 'c/1'",
            f"UPDATE {schema}.streams SET expires_at = 1 WHERE name = 'c/2'",
        )
        with pytest.raises(DamagedError, match="position 2"):
            await backend.read("c/0")
        with pytest.raises(DamagedError, match="its row in streams"):
            await backend.read("c/1")
        with pytest.raises(DamagedError, match="its row in streams"):
            await backend.commit("c/1", Change([b"x"], labels={"k": "v"}))
        await backend.sweep()
        assert postgres_server.run(f"SELECT name FROM {schema}.streams WHERE incarnation IS NULL") == []
    finally:
        await backend.close()


async def test_tables_without_checksums_are_left_untouched(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    await (await stowfast.open(url)).close()
    postgres_server.run(f"ALTER TABLE {url.partition('schema=')[2]}.entries DROP COLUMN checksum")
    with pytest.raises(UnsupportedError, match="before the first release"):
        await stowfast.open(url)
