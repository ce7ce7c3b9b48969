"""The newest conversations come from an index, which an append does not touch."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from stowfast.abc import Change, Query
from stowfast.backends.postgres.backend import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services.postgres import PostgresServer

ROWS = 20_000
MANY = """
    INSERT INTO {schema}.streams (name, incarnation, first, next, length, base, revision, created_at, updated_at,
        recent, labels, note, checksum)
    SELECT kind || '/' || n, 'x', 0, 1, 1, 0, 1, at, at, at >> 26, '', '', 0 FROM (
        SELECT kind, n, 1700000000000000 + (n * 7919 % {rows}) * 1000000::bigint AS at
        FROM generate_series(0::bigint, {rows} - 1) AS n, unnest(ARRAY['messages', 'artifacts']) AS kind) AS made
"""


@asynccontextmanager
async def opened(server: PostgresServer) -> AsyncIterator[tuple[PostgresBackend, str]]:
    address, _, query = server.url().partition("?")
    schema = query.partition("=")[2]
    backend = await PostgresBackend.open(address, schema=schema, notify=False)
    try:
        yield backend, schema
    finally:
        await backend.close()


def scans(plan: dict[str, Any]) -> list[tuple[str, int]]:
    """Return each scan of a plan, by its index or its table, with the rows that it read."""
    found = []
    if "Scan" in plan["Node Type"]:
        read = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        found.append((plan.get("Index Name") or plan["Relation Name"], read))
    return found + [one for below in plan.get("Plans", ()) for one in scans(below)]


async def test_the_newest_conversations_come_from_an_index(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as (backend, schema):
        postgres_server.run(MANY.format(schema=schema, rows=ROWS), f"ANALYZE {schema}.streams")
        times = {f"messages/{n}": n * 7919 % ROWS for n in range(ROWS)}
        expected = sorted(times, key=lambda name: -times[name])
        statements = backend._database.statements
        plans: list[list[tuple[str, int]]] = []
        seen: list[str] = []
        after = None
        for _ in range(4):
            listing = await backend.streams(Query("messages/", order="recent", limit=20, after=after))
            seen, after = [*seen, *(one.name for one in listing.streams)], listing.after
            last = listing.streams[-1]
            values = {
                "prefix": "messages/", "beyond": "messages0", "name": last.name,
                "at": last.updated_at, "limit": 21, "kind": "messages",
            }  # fmt: skip
            with backend._database.lend() as connection:
                query = statements["by_recency_of_kind"]
                explained = connection.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + query, values)
                row = explained.fetchone()
                assert row is not None
                plans.append(scans(row[0][0]["Plan"]))
        assert seen == expected[:80]
        print(f"the next 20 of {ROWS} conversations: {plans}")
        for plan in plans:
            assert [name for name, _ in plan] == ["streams_recent"]
            assert plan[0][1] < 300, "a page reads the minutes around it alone"


async def test_an_append_stays_in_place(postgres_server: PostgresServer) -> None:
    """An index on the time itself would take each append off the way that touches no index (HOT)."""
    async with opened(postgres_server) as (backend, schema):
        for number in range(121):
            await backend.commit("messages/c", Change([b"%d" % number]))
        table = f"schemaname = '{schema}' AND relname = 'streams'"
        updated = in_place = 0
        for _ in range(3_000):
            found = postgres_server.run(f"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE {table}")
            ((updated, in_place),) = found
            if updated >= 121:
                break
            await asyncio.sleep(0.01)
        print(f"{updated} changes of a head, {in_place} in place")
        assert in_place >= 110
