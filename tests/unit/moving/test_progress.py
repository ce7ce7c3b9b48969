"""Copies, moves and verifications know their end from the beginning, and count the pieces of large contents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import moving
from stowfast.moving.files import backup_file, restore_file

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 6 * 2**20
STREAMS = 40


@pytest.fixture
async def place(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/one.db"
    async with stowfast.open(url) as stores:
        await stores.artifacts.create(stowfast.Artifact(artifact_id="large", content=bytes(LARGE)))
        for number in range(STREAMS - 1):
            await stores.messages.add_message(f"c{number}", {"n": number})
    return url


async def test_the_end_is_known_and_a_large_content_is_counted_in_pieces(place: str, tmp_path: Path) -> None:
    target, moved = f"sqlite:///{tmp_path}/two.db", f"sqlite:///{tmp_path}/three.db"
    totals: dict[str, list[Any]] = {}
    sizes: dict[str, list[int]] = {}
    for name in ("copy", "verify", "backup", "move"):
        told, bytes_ = totals.setdefault(name, []), sizes.setdefault(name, [])

        def look(done: Any, told: list[Any] = told, bytes_: list[int] = bytes_) -> None:
            told.append(done.total)
            bytes_.append(done.bytes)

        if name == "copy":
            await moving.copy(place, target, progress=look)
        elif name == "verify":
            await moving.verify(place, progress=look)
        elif name == "backup":
            await moving.backup(place, "memory:", progress=look)
        else:
            await moving.move(place, moved, progress=look)
    assert {name: set(told) for name, told in totals.items()} == {name: {STREAMS} for name in totals}
    assert {name for name, told in sizes.items() if len({size for size in told if size < LARGE}) < 4} == set()


async def test_a_selection_by_metadata_has_no_total(place: str) -> None:
    async with stowfast.open(place) as stores:
        await stores.messages.set_metadata("c0", {"user": "ada"})
    told: list[Any] = []
    selection = moving.Selection(where={"user": "ada"})
    await moving.copy(place, "memory:", selection=selection, progress=lambda done: told.append(done.total))
    assert set(told) == {None}


async def test_a_file_is_copied_in_steps(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stowfast.backends.sqlite.copies._STEP_PAGES", 100)
    kept, back = f"sqlite:///{tmp_path}/kept.db", f"sqlite:///{tmp_path}/back.db"
    for work, source, target in ((backup_file, place, kept), (restore_file, kept, back)):
        told: list[tuple[int, int]] = []

        def look(done: int, total: int, told: list[tuple[int, int]] = told) -> None:
            told.append((done, total))

        await work(source, target, copying=look)
        done = [one for one, _ in told]
        assert done == sorted(done)
        assert len(set(done)) > 5
        assert told[-1][0] == told[-1][1] > LARGE
