"""A list by labels: the same streams whichever way it takes, and none that reads the whole schema."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from stowfast.abc import Change, Head, Query
from stowfast.backends.postgres import read
from stowfast.backends.postgres.connection import BoundedConnection
from stowfast.backends.postgres.rows import pairs_of
from tests.unit.backends.postgres.test_recency import MANY, ROWS, opened, scans

if TYPE_CHECKING:
    from stowfast.backends.postgres.backend import PostgresBackend
    from tests.services.postgres import PostgresServer

LABEL = """
    INSERT INTO {schema}.labels (pair, stream) SELECT decode('{pair}', 'hex'), id FROM {schema}.streams
    WHERE name LIKE 'messages/%' AND {which}
"""
OLDEST = "recent <= (SELECT min(recent) FROM {schema}.streams) + 2"


async def all_pages(backend: PostgresBackend, query: Query) -> list[str]:
    names: list[str] = []
    while True:
        page = await backend.streams(query)
        assert len(page.streams) <= query.limit
        names += [one.name for one in page.streams]
        if page.after is None:
            return names
        query = query._replace(after=page.after)


@pytest.mark.parametrize(("many", "first"), [(4_000, 5_000), (1, 5_000), (1, 7), (20, 7), (1, 1)])
async def test_each_way_to_a_list_by_labels_finds_the_same(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, many: int, first: int
) -> None:
    monkeypatch.setattr(read, "_MANY", many)
    monkeypatch.setattr(read, "_FIRST_STREAMS", first)
    choose = random.Random(1)
    async with opened(postgres_server) as (backend, _):
        for number in range(60):
            labels = {"tenant": "all"} if number % 10 else {}
            labels |= {"user": choose.choice("abc")} if choose.random() < 0.6 else {}
            name = f"{choose.choice(('messages', 'messages', 'tasks'))}/{choose.choice('ab')}{number}"
            await backend.commit(name, Change([b"x"], labels=labels))
            if number % 7 == 3:
                await backend.commit(name, Change(delete=True))
        stored = (await backend.streams(Query("", limit=100, heads=True))).streams
        heads = [one.head for one in stored if isinstance(one.head, Head)]
        assert len(heads) == 51
        wheres: list[dict[str, str]] = [{"tenant": "all"}, {"user": "a"}, {"user": "b", "tenant": "all"}, {"user": "d"}]
        for prefix in ("messages/", "messages/a", "", "tasks/"):
            for where in wheres:
                chosen = [one for one in heads if one.name.startswith(prefix) and where.items() <= one.labels.items()]
                by_name = sorted(one.name for one in chosen)
                recent = [one.name for one in sorted(chosen, key=lambda one: (-one.updated_at, one.name))]
                for limit in (1, 4, 50):
                    query = Query(prefix, where=where, limit=limit)
                    assert await all_pages(backend, query) == by_name, (prefix, where, limit)
                    assert await all_pages(backend, query._replace(order="recent")) == recent, (prefix, where, limit)


def rows_read(plan: dict[str, Any]) -> int:
    """Return the rows that the scans of a plan read, those of sub-selects included."""
    below = sum(rows_read(one) for one in plan.get("Plans", ()))
    is_scan = bool(scans({**plan, "Plans": ()})) if "Relation Name" in plan or "Index Name" in plan else False
    read_here = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if is_scan else 0
    return int(read_here * plan["Actual Loops"]) + below


async def test_a_list_by_a_label_reads_about_as_many_streams_as_it_shows_or_the_label_has(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, Any]] = []
    execute = BoundedConnection.execute

    def spy(self: BoundedConnection, query: Any, params: Any = None, **options: Any) -> Any:
        asked.append((query, params))
        return execute(self, query, params, **options)

    async with opened(postgres_server) as (backend, schema):
        which = {"all": "true", "third": "id % 3 = 0", "old": OLDEST.format(schema=schema)}
        statements = [MANY.format(schema=schema, rows=ROWS)]
        for value, chosen in which.items():
            (pair,) = pairs_of({"user": value})
            statements.append(LABEL.format(schema=schema, pair=pair.hex(), which=chosen))
        postgres_server.run(*statements, f"ANALYZE {schema}.streams", f"ANALYZE {schema}.labels")
        for value, most in (("all", 1_000), ("third", 1_500), ("old", 1_500), ("none", 10)):
            for order in ("recent", "name"):
                asked.clear()
                with monkeypatch.context() as patched:
                    patched.setattr(BoundedConnection, "execute", spy)
                    page = await backend.streams(Query("messages/", order=order, where={"user": value}, limit=20))
                assert len(page.streams) == (0 if value == "none" else 20)
                total = 0
                with backend._database.lend() as connection:
                    for query, params in asked:
                        if b"count(*) FROM (" in query:
                            continue  # it ends at a bound of its own
                        row = connection.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + query, params).fetchone()
                        assert row is not None
                        total += rows_read(row[0][0]["Plan"])
                print(f"user={value}, order {order}: {len(asked)} statements read {total:,} rows of {ROWS:,}")
                # By name the planner may read all of so small a schema, and sort it.
                assert total < (most if order == "recent" else 5 * ROWS)
