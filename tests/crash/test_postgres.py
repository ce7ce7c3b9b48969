"""PostgreSQL stopped at once and started again under load, and a server process stopped inside a call."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

import stowfast
from stowfast import StowfastError, UnavailableError
from tests.amount import part

if TYPE_CHECKING:
    from tests.services.postgres import Postgres, PostgresServer

RESTARTS = part(20)
WRITERS = 6


class Writer(threading.Thread):
    """Adds numbered messages to the shared conversation.

    An even writer repeats each under its op_id until it is acknowledged; an odd one has no op_id, and goes on.
    """

    def __init__(self, url: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url, self.number, self.stop = url, number, stop
        self.acknowledged: dict[int, int] = {}
        self.unanswered = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with stowfast.sync.open(self.url) as stores:
                turn = 0
                while not self.stop.is_set():
                    self._add(stores, turn)
                    turn += 1
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def _add(self, stores: stowfast.sync.Stores, turn: int) -> None:
        message, repeats = {"writer": self.number, "turn": turn}, self.number % 2 == 0
        while True:
            try:
                op_id = f"{self.number}-{turn}" if repeats else None
                self.acknowledged[turn] = stores.messages.add_message("shared", message, op_id=op_id)
            except UnavailableError:
                self.unanswered += 1
                time.sleep(0.05)
                if repeats:
                    continue
            return


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_nothing_is_lost_when_the_server_is_stopped_at_once(postgres_alone: Postgres) -> None:
    url = f"{postgres_alone.endpoint}/postgres?schema=stowfast&timeout=20"
    with stowfast.sync.open(url) as stores:
        stores.messages.add_message("other", {})
    stop = threading.Event()
    writers = [Writer(url, number, stop) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for restart in range(RESTARTS):
        before = sum(len(writer.acknowledged) for writer in writers)
        deadline = time.monotonic() + 20
        while sum(len(writer.acknowledged) for writer in writers) < before + 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        postgres_alone.stop_at_once()
        postgres_alone.run()
        assert [writer.error for writer in writers] == [None] * WRITERS, f"after restart {restart}"
    stop.set()
    for writer in writers:
        writer.join(60)
    with stowfast.sync.open(url) as stores:
        found = list(stores.messages.entries("shared"))
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    print(
        f"{RESTARTS} restarts, {acknowledged} acknowledged, {len(found)} found, "
        f"{sum(writer.unanswered for writer in writers)} calls without an answer"
    )
    assert [entry.position for entry in found] == list(range(len(found)))
    at = {(entry.message["writer"], entry.message["turn"]): entry.position for entry in found}
    assert len(at) == len(found), "a message is there twice"
    for writer in writers:
        for turn, position in writer.acknowledged.items():
            assert at[writer.number, turn] == position
    assert len(found) - acknowledged <= sum(writer.unanswered for writer in writers)


@pytest.mark.slow
def test_a_call_that_stands_still_in_the_server_is_made_once(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    schema = url.partition("schema=")[2]
    results: list[int | StowfastError] = []
    with stowfast.sync.open(url) as stores, psycopg.connect(f"{postgres_server.endpoint}/postgres") as watcher:
        watcher.autocommit = True
        stores.messages.add_message("c", {"n": 0})
        pids = watcher.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()", [f"%{schema}%"]
        ).fetchall()
        for (pid,) in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            thread = threading.Thread(
                target=lambda: results.append(stores.messages.add_message("c", {"n": 1}, op_id="op")), daemon=True
            )
            thread.start()
            with stowfast.sync.open(url) as other:
                assert other.messages.add_message("c", {"n": 1}, op_id="op") == 1
        finally:
            for (pid,) in pids:
                os.kill(pid, signal.SIGCONT)
        thread.join(30)
        assert results == [1]
        assert stores.messages.get_messages("c") == [{"n": 0}, {"n": 1}]
        assert stores.messages.add_message("c", {"n": 2}) == 2


def test_ten_processes_append_to_one_conversation(postgres_server: PostgresServer) -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    url = postgres_server.url()
    with stowfast.sync.open(url) as stores:
        stores.messages.count("c")
    processes = [context.Process(target=_append, args=(url, number)) for number in range(10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 10
    with stowfast.sync.open(url) as stores:
        found = stores.messages.get_messages("c")
    assert len(found) == 1_000
    for number in range(10):
        assert [one["turn"] for one in found if one["writer"] == number] == list(range(100))


def _append(url: str, number: int) -> None:
    with stowfast.sync.open(url) as stores:
        for turn in range(100):
            stores.messages.add_message("c", {"writer": number, "turn": turn})
