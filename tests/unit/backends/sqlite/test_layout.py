"""The rows of the file waste little of their pages, and the text of an op_id is in the file once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stowfast.abc import Change
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.backends.sqlite.places import place_of, places_of
from stowfast.blocking import run_in_place
from stowfast.errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

OP_ID = "0f3a-a-long-op_id-that-nobody-else-writes"


def opened(path: Path) -> SQLiteBackend:
    return run_in_place(SQLiteBackend.open(f"sqlite:///{path}", sweep=False, durability="relaxed"))


def folded(backend: SQLiteBackend, path: Path) -> bytes:
    run_in_place(backend.close())
    return path.read_bytes()


@pytest.mark.parametrize("size", [200, 1_100, 1_990, 5_000])
@pytest.mark.parametrize("streams", [1, 20])
def test_a_file_is_little_larger_than_its_entries(size: int, streams: int, tmp_path: Path) -> None:
    backend, count = opened(tmp_path / "agent.db"), 2_000_000 // size
    for number in range(count):
        run_in_place(backend.commit(f"s{number % streams}", Change([bytes(size)])))
    assert len(folded(backend, tmp_path / "agent.db")) < 1.45 * count * size + 200_000


@pytest.mark.parametrize(
    "gone",
    [
        Change(cut_from=0),
        Change(drop_before=1),
        Change(delete=True),
        Change(delete=True, entries=(b"new",)),
    ],
)
def test_the_text_of_an_op_id_is_in_the_file_once(gone: Change, tmp_path: Path) -> None:
    path, change = tmp_path / "agent.db", Change([b"x"], op_id=OP_ID)
    backend = opened(path)
    receipt = run_in_place(backend.commit("c", change))
    assert folded(backend, path).count(OP_ID.encode()) == 1

    backend = opened(path)
    run_in_place(backend.commit("c", gone))
    assert run_in_place(backend.remembered("c")) == {OP_ID: receipt}
    assert folded(backend, path).count(OP_ID.encode()) == 1

    backend = opened(path)
    assert run_in_place(backend.commit("c", change)) == receipt._replace(repeated=True)
    run_in_place(backend.close())


def test_op_ids_are_kept_while_a_sweep_removes_their_entries(tmp_path: Path) -> None:
    path, count = tmp_path / "agent.db", 3_000
    backend = opened(path)
    for number in range(count):
        run_in_place(backend.commit("c", Change([b"x"], op_id=f"op-{number}")))
    run_in_place(backend.commit("c", Change(drop_before=count - 10)))
    before = run_in_place(backend.remembered("c"))
    run_in_place(backend.sweep())
    after = run_in_place(backend.remembered("c"))
    run_in_place(backend.close())
    assert set(after) == {f"op-{number}" for number in range(count - 10 - 64, count - 10)}
    assert after.items() <= before.items()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM entries").fetchone() == (10,)


def test_the_end_of_the_positions_is_an_error() -> None:
    assert place_of(7, 2**32 - 1) + 1 == place_of(8, 0)
    with pytest.raises(UnsupportedError, match="choose another backend"):
        place_of(7, 2**32)
    assert places_of(7, 0, 2**62) == (place_of(7, 0), place_of(8, 0))
    assert places_of(2**40) == places_of(-1) == (0, 0)
