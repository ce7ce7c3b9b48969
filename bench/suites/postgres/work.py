"""The workloads of Stowfast and of the bare driver, in one process: the server's work is another process's."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import stowfast

    Figures: TypeAlias = dict[str, float]

__all__ = ["CROWD", "MESSAGE", "TABLES", "appends", "async_appends", "crowd", "reads", "server_work"]

CROWD: Final = 64
_TURN: Final = 100
MESSAGE: Final = {"role": "user", "content": [{"type": "text", "text": "Is the flight to Paris on time? " * 7}]}
TABLES: Final = """
    CREATE TABLE raw (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, conversation text NOT NULL, data jsonb NOT NULL
    );
    CREATE INDEX raw_by_conversation ON raw (conversation, id)
"""
INSERT: Final = "INSERT INTO raw (conversation, data) VALUES (%s, %s) RETURNING id"
LAST: Final = "SELECT data FROM raw WHERE conversation = %s ORDER BY id DESC LIMIT 20"
ALL: Final = "SELECT data FROM raw WHERE conversation = %s ORDER BY id"
_ops: Final = itertools.count()


def op() -> str:
    return f"op-{next(_ops)}"


def appends(url: str, stores: stowfast.sync.Stores, count: int) -> dict[str, Figures]:
    """Time appends of the sync face, and of the driver in autocommit with a prepared statement, in turns."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as raw:
        add = stores.messages.add_message
        calls: dict[str, Callable[[], object]] = {
            "raw": lambda: raw.execute(INSERT, ["c", Jsonb(MESSAGE)]).fetchone(),
            "ours": lambda: add("c", MESSAGE),
            "op_id": lambda: add("c", MESSAGE, op_id=op()),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(count):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - began)
    return {name: {"median": median(found)} for name, found in times.items()}


async def async_appends(url: str, stores: stowfast.Stores, count: int) -> dict[str, Figures]:
    """Do the same with the async face and the async driver."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0) as raw:

        async def bare() -> None:
            await (await raw.execute(INSERT, ["c", Jsonb(MESSAGE)])).fetchone()

        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "raw async": bare,
            "ours async": lambda: stores.messages.add_message("c", MESSAGE),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(count):
            for name, call in calls.items():
                began = time.perf_counter()
                await call()
                times[name].append(time.perf_counter() - began)
    return {name: {"median": median(found)} for name, found in times.items()}


async def crowd(stores: stowfast.Stores, count: int) -> dict[str, Figures]:
    """Count the appends a second of 64 tasks, to a conversation each and to one."""
    found = {}
    for name in ("64 to 64", "64 to 1"):

        async def write(number: int, name: str = name) -> None:
            conversation = f"{name}/{number if name == '64 to 64' else 0}"
            for _ in range(count):
                await stores.messages.add_message(conversation, MESSAGE)

        await asyncio.gather(*map(write, range(CROWD)))  # the conversations are there
        began = time.perf_counter()
        await asyncio.gather(*map(write, range(CROWD)))
        found[name] = {"per_second": CROWD * count / (time.perf_counter() - began)}
    return found


def reads(url: str, stores: stowfast.sync.Stores, length: int, count: int) -> dict[str, Figures]:
    """Time loads of a long conversation and of its last 20 messages."""
    if not stores.messages.count("long"):
        stores.messages.add_messages("long", [MESSAGE] * length)
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as raw:
        if not raw.execute("SELECT 1 FROM raw WHERE conversation = 'long'").fetchone():
            with raw.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO raw (conversation, data) VALUES ('long', %s)", [[Jsonb(MESSAGE)]] * length
                )
            raw.execute("ANALYZE raw")
        calls: dict[str, tuple[int, Callable[[], Any]]] = {
            "raw load": (5, lambda: raw.execute(ALL, ["long"]).fetchall()),
            "load": (5, lambda: stores.messages.get_messages("long")),
            "raw last": (count, lambda: raw.execute(LAST, ["long"]).fetchall()),
            "last": (count, lambda: stores.messages.get_messages("long", last=20)),
        }
        found = {}
        for name, (repeats, call) in calls.items():
            times = []
            for _ in range(repeats):
                began = time.perf_counter()
                rows = call()
                times.append(time.perf_counter() - began)
            assert len(rows) == (20 if name.endswith("last") else length)
            found[name] = {"median": median(times)}
        return found


def server_work(url: str, stores: stowfast.sync.Stores, count: int) -> dict[str, Figures]:
    """Measure the time on the CPU of the server's process, and the bytes of its log, for an append. Linux only.

    Args:
        count: appends of each kind, a multiple of 100.
    """
    with (
        psycopg.connect(url, autocommit=True, prepare_threshold=0) as raw,
        psycopg.connect(url, autocommit=True) as watcher,
    ):

        def log() -> int:
            row = watcher.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
            assert row is not None
            return int(row[0])

        stores.messages.add_message("c", MESSAGE)
        # The newest session with an append: it is the one that commits.
        row = watcher.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%WITH head%' AND pid <> pg_backend_pid()"
            " ORDER BY state_change DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        ours = int(row[0])
        calls: dict[str, tuple[int, Callable[[], object]]] = {
            "raw": (raw.info.backend_pid, lambda: raw.execute(INSERT, ["c", Jsonb(MESSAGE)]).fetchone()),
            "ours": (ours, lambda: stores.messages.add_message("c", MESSAGE)),
            "op_id": (ours, lambda: stores.messages.add_message("c", MESSAGE, op_id=op())),
        }
        found: dict[str, Figures] = {name: {"cpu": 0, "wal": 0} for name in calls}
        # In turns of a hundred: the first hundreds of a new session cost it less than the thousands after them.
        for _ in range(count // _TURN):
            for name, (pid, call) in calls.items():
                cpu, bytes_before = _cpu(pid), log()
                for _ in range(_TURN):
                    call()
                found[name]["cpu"] += (_cpu(pid) - cpu) / count
                found[name]["wal"] += (log() - bytes_before) / count
        return found


def _cpu(pid: int) -> float:
    """Return the seconds of a process on a CPU: https://docs.kernel.org/scheduler/sched-stats.html"""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
