"""A streaming replica: never read, never written, and the primary after a promotion, by the same URL."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import UnavailableError
from tests.services.postgres import Postgres, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITERS = 4
SETTLED = 20
"""Messages of each writer before the primary is stopped, and after the promotion."""


@pytest.fixture
def standby(postgres_alone: Postgres, tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path)
    try:
        server.start_standby_of(postgres_alone)
        yield server
    finally:
        server.remove()


@pytest.mark.soak
def test_a_promoted_standby_goes_on_with_all_that_was_acknowledged(postgres_alone: Postgres, standby: Postgres) -> None:
    primary = PostgresServer(postgres_alone.endpoint)
    primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    user, _, first = postgres_alone.endpoint.rpartition("@")
    second = standby.endpoint.rpartition("@")[2]
    url = f"{user}@{second},{first}/postgres?schema=stowfast&target_session_attrs=read-write&timeout=90"
    acknowledged: list[list[int]] = [[] for _ in range(WRITERS)]
    enough = threading.Event()
    with stowfast.sync.open(url) as stores:
        stores.messages.add_message("c", {})
        for wrong in ("", "&target_session_attrs=standby"):
            with pytest.raises(UnavailableError, match="target_session_attrs=read-write"):
                stowfast.sync.open(f"{standby.endpoint}/postgres?schema=stowfast{wrong}")

        def write(number: int) -> None:
            turn = 0
            while not enough.is_set():
                stores.messages.add_message(f"c/{number}", {"turn": turn}, op_id=f"{number}-{turn}")
                acknowledged[number].append(turn)
                turn += 1

        threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        _until(acknowledged, SETTLED)
        postgres_alone.stop_at_once()
        before = [len(one) for one in acknowledged]
        standby.promote()
        PostgresServer(standby.endpoint).run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        _until(acknowledged, max(before) + SETTLED)
        enough.set()
        for thread in threads:
            thread.join(90)
        for number, turns in enumerate(acknowledged):
            found = [message["turn"] for message in stores.messages.get_messages(f"c/{number}")]
            assert found == turns == list(range(len(turns)))
        print(
            f"1 primary stopped, {sum(map(len, acknowledged))} acknowledged, all of them found on the promoted standby"
        )


def _until(acknowledged: list[list[int]], count: int) -> None:
    for _ in range(9_000):
        if min(map(len, acknowledged)) >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"a writer came to {min(map(len, acknowledged))} of {count}")
