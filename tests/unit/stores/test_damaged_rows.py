"""One damaged row of a SQLite file: lists name it and go on, workers go on, and each call for it is a DamagedError."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import Artifact, DamagedError, TaskState

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)
DAMAGE = {
    "a time beyond the year 9999": "updated_at = 253402300800000000",
    "text in a column of integers": "revision = 'many'",
    "labels that are a list": "labels = '[1]'",
    "a note of other bytes": "note = x'ff'",
    "a note that is another": "note = x'7b7d'",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_row_hides_no_other(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.db"
    async with stowfast.open(f"sqlite:///{file}") as stores:
        for name in ("bad", "good"):
            await stores.messages.add_message(name, {"text": name})
            await stores.artifacts.create(Artifact(artifact_id=name, content=name))
            await stores.tasks.save(TaskState(task_id=name, data=name))
            await stores.documents.put(name, name)
    with closing(sqlite3.connect(file)) as connection, connection:
        assert connection.execute(f"UPDATE streams SET {damage} WHERE name LIKE '%/bad'").rowcount == 4
    async with stowfast.open(f"sqlite:///{file}") as stores:
        for page in (
            await stores.messages.contexts(), await stores.artifacts.list(), await stores.tasks.list(),
            await stores.documents.list(),
        ):  # fmt: skip
            assert (len(page), page.damaged) == (1, ["bad"])
        lease = await stores.tasks.claim_next("w", HOUR)
        assert lease is not None
        assert lease.task_id == "good"
        assert await stores.tasks.claim_next("w", HOUR) is None
        for call in (
            stores.messages.get_messages("bad"), stores.messages.info("bad"), stores.artifacts.get("bad"),
            stores.tasks.load("bad"), stores.tasks.save(TaskState(task_id="bad")), stores.tasks.claim("bad", "w", HOUR),
            stores.documents.get("bad"),
        ):  # fmt: skip
            with pytest.raises(DamagedError, match="bad"):
                await call


def test_the_command_line_names_what_is_damaged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"
    with stowfast.sync.open(url) as stores:
        for name in ("bad", "good"):
            stores.messages.add_message(name, {"text": name})
            stores.tasks.save(TaskState(task_id=name))
    with closing(sqlite3.connect(tmp_path / "agent.db")) as connection, connection:
        connection.execute("UPDATE streams SET note = x'ff' WHERE name LIKE '%/bad'")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stowfast", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    for arguments, noun in (
        (("ls", url), "conversation"),
        (("ls", "--tasks", url), "task"),
        (("tasks", "ls", url), "task"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, f"{noun} 'bad' is damaged and left out\n")
        assert "good" in done.stdout
        assert "bad" not in done.stdout
    done = run("export", url)
    assert done.returncode != 0
    assert "1 conversation cannot be read: 'bad'" in done.stderr


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_a_deleted_conversation_takes_what_is_damaged_along(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.db"
    async with stowfast.open(f"sqlite:///{file}") as stores:
        for name in ("bad", "good"):
            await stores.artifacts.create(Artifact(artifact_id=name, context_id="c", content=name))
            await stores.tasks.save(TaskState(task_id=name, context_id="c"))
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE streams SET {damage} WHERE name LIKE '%/bad'")
    async with stowfast.open(f"sqlite:///{file}") as stores:
        await stores.delete_context("c")
        for page in (await stores.artifacts.list(), await stores.tasks.list()):
            assert (len(page), page.damaged) == (0, [])
