"""No sweep and no large deletion holds its locks for long: counted in rows of a transaction, not in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.abc import OPERATIONS_REMEMBERED, Change, Swept
from stowfast.backends.postgres.removal import BATCH_BYTES, BATCH_ROWS
from tests.unit.backends.postgres.test_faults import opened, schema_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.backends.postgres.backend import PostgresBackend
    from tests.services.postgres import PostgresServer

MESSAGES = 20_000


def watch(server: PostgresServer, schema: str) -> None:
    """Let the server write down the removed rows and bytes of each statement."""
    server.run(
        f"CREATE TABLE {schema}.removed (id xid8, name text, count bigint, size bigint)",
        f"CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" INSERT INTO {schema}.removed SELECT pg_current_xact_id(), TG_TABLE_NAME, count(*),"
        " coalesce(sum(length(to_jsonb(gone) ->> 'data') / 2 - 1), 0) FROM gone; RETURN NULL; END $$",
    )
    for table in ("entries", "operations", "links"):
        server.run(
            f"CREATE TRIGGER note AFTER DELETE ON {schema}.{table} REFERENCING OLD TABLE AS gone"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {schema}.note()"
        )


def transactions(server: PostgresServer, schema: str, table: str) -> list[tuple[int, int]]:
    """Return the removed rows and bytes of each transaction."""
    return server.run(
        f"SELECT sum(count)::int, sum(size)::bigint FROM {schema}.removed WHERE name = '{table}' GROUP BY id"
        " HAVING sum(count) > 0"
    )


def count(server: PostgresServer, schema: str, table: str, where: str = "TRUE") -> int:
    found: int = server.run(f"SELECT count(*) FROM {schema}.{table} WHERE {where}")[0][0]
    return found


async def fill(backend: PostgresBackend, **change: Any) -> None:
    for start in range(0, MESSAGES, 1_000):
        await backend.commit("c", Change([b"x"] * 1_000, op_id=f"op-{start}", **change))


async def test_a_large_deletion_is_many_transactions_with_others_between(postgres_server: PostgresServer) -> None:
    async def piece() -> AsyncIterator[bytes]:
        yield b"body"

    async with opened(postgres_server) as backend:
        schema = schema_of(backend)
        await fill(backend)
        linked = await backend.write_blob("c", piece())
        await backend.commit("c", Change([b"x"], blobs=[linked], labels={"city": "Paris"}))
        upload = await backend.write_blob("c", piece())
        await backend.commit("other", Change([b"mine"]))
        watch(postgres_server, schema)
        receipt = await backend.commit("c", Change(delete=True))
        # It is gone at once, and can begin anew while its rows are removed behind.
        assert await backend.read("c") == (None, [])
        again = await backend.commit("c", Change([b"new"], blobs=[upload]))
        assert again.first == 0
        assert again.incarnation != receipt.incarnation
        assert b"".join([one async for one in backend.read_blob("c", upload)]) == b"body"
        assert (await backend.commit("c", Change([b"x"] * 1_000, op_id="op-19000"))).repeated
        for _ in range(1_000):
            await backend.commit("other", Change([b"mine"]))
            if not count(postgres_server, schema, "streams", "expires_at IS NOT NULL"):
                break
        between = count(
            postgres_server, schema, "entries", f"data = 'mine' AND xmin::text::bigint BETWEEN (SELECT"
            f" min(id::text::bigint) FROM {schema}.removed) AND (SELECT max(id::text::bigint) FROM {schema}.removed)",
        )  # fmt: skip
        assert between > 1
        assert [row.data for row in (await backend.read("c")).entries] == [b"new"]
        removed = transactions(postgres_server, schema, "entries")
        assert sum(rows for rows, _ in removed) == MESSAGES + 1
        assert max(rows for rows, _ in removed) <= BATCH_ROWS
        assert count(postgres_server, schema, "links") == count(postgres_server, schema, "labels") + 1 == 1
        assert (await backend.sweep()).blobs == 1


async def test_the_newest_op_ids_outlive_a_large_deletion(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        schema = schema_of(backend)
        for start in range(0, 1_100, 100):
            await backend.commit_many([("c", Change([b"x"], op_id=f"op-{start + n}")) for n in range(100)])
        watch(postgres_server, schema)
        await backend.commit("c", Change(delete=True, op_id="end"))
        known = await backend.remembered("c")
        assert len(known) == OPERATIONS_REMEMBERED + 1
        assert known.keys() == {"end", *(f"op-{n}" for n in range(1_100 - OPERATIONS_REMEMBERED, 1_100))}
    assert count(postgres_server, schema, "operations") == OPERATIONS_REMEMBERED + 1
    assert max(rows for rows, _ in transactions(postgres_server, schema, "operations")) <= BATCH_ROWS


async def test_large_entries_are_removed_by_their_bytes(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        schema = schema_of(backend)
        for _ in range(12):
            await backend.commit("c", Change([b"x" * 2**20]))
        watch(postgres_server, schema)
        await backend.commit("c", Change(delete=True))
    removed = transactions(postgres_server, schema, "entries")
    assert sum(rows for rows, _ in removed) == 12
    assert max(size for _, size in removed) <= BATCH_BYTES + 2**20


async def test_a_sweep_removes_expired_streams_in_small_transactions(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        schema = schema_of(backend)
        await fill(backend)
        await backend.commit("c", Change(expires_at=1))
        for n in range(60):
            await backend.commit(f"c/{n}", Change([b"x"] * 100))
        await backend.commit_many([(f"c/{n}", Change(expires_at=1)) for n in range(60)])
        watch(postgres_server, schema)
        assert await backend.sweep(dry_run=True) == Swept(61, 0, MESSAGES + 6_000)
        assert await backend.sweep() == Swept(61, 0, MESSAGES + 6_000)
        removed = transactions(postgres_server, schema, "entries")
        assert sum(rows for rows, _ in removed) == MESSAGES + 6_000
        assert max(rows for rows, _ in removed) < 2 * BATCH_ROWS
        assert await backend.sweep() == Swept(0, 0, 0)
        assert count(postgres_server, schema, "streams", "expires_at IS NOT NULL") == 0
        assert (await backend.commit("c", Change([b"new"]))).first == 0


async def test_a_new_life_of_a_large_expired_stream_begins_at_once(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        schema = schema_of(backend)
        await fill(backend)
        await backend.commit("c", Change(expires_at=1))
        watch(postgres_server, schema)
        assert (await backend.commit("c", Change([b"new"]))).first == 0
    assert count(postgres_server, schema, "entries") == 1
    assert max(rows for rows, _ in transactions(postgres_server, schema, "entries")) <= BATCH_ROWS
