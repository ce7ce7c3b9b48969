"""Opening a store: an error names the fault and the fix, and no secret; an opened store is closed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import Artifact, InvalidError, TaskState

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("sqlite://", "memory:"),
        ("sqlite:///", "memory:"),
        ("sqlite:///:memory:", "memory:"),
        ("sqlite://user:hunter2@host/agent.db", "sqlite:///agent.db"),
        ("memory://user:hunter2@host", "memory:"),
        ("postgres://user:hunter2@host/db", "az:, gs:, memory:, moving:, postgresql:, s3:, sqlite:"),
        ("sqlite:///a%00b.db", "NUL"),
        ("sqlite:///.", "folder"),
        ("sqlite:///nowhere/agent.db", "create it first"),
        ("sqlite:///agent.db?durability=maybe", "full, relaxed"),
        ("sqlite:///agent.db?timeout=nan", "seconds"),
        ("sqlite:///agent.db?timeout=-1", "seconds"),
        ("sqlite:///agent.db?timeout=inf", "seconds"),
        ("sqlite:///agent.db?hunter2!=1", "durability, timeout, sweep"),
    ],
)
async def test_a_wrong_url_is_refused_with_its_fix(
    url: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidError) as refused:
        await stowfast.open(url)
    assert fix in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert os.listdir(tmp_path) == []


async def test_a_scheme_has_no_letter_case(tmp_path: Path) -> None:
    async with stowfast.open(f"SQLite:///{tmp_path}/agent.db", timeout=5) as stores:
        assert await stores.messages.count("c") == 0


async def test_an_opening_that_is_entered_twice_closes_both() -> None:
    opening = stowfast.open("memory:")
    async with opening as one:
        async with opening as other:
            assert one is not other
        with pytest.raises(InvalidError):
            await other.messages.count("c")
        assert await one.messages.count("c") == 0
    with pytest.raises(InvalidError):
        await one.messages.count("c")


async def test_what_is_no_text_is_refused_by_name() -> None:
    async with stowfast.open("memory:") as stores:
        with pytest.raises(InvalidError, match="status"):
            await stores.tasks.save(TaskState(task_id="t", status=None))  # type: ignore[arg-type]
        with pytest.raises(InvalidError, match="name"):
            await stores.artifacts.create(Artifact(artifact_id="a", name=5))  # type: ignore[arg-type]
        with pytest.raises(InvalidError, match="op_id"):
            await stores.messages.add_message("c", {}, op_id="")
        with pytest.raises(InvalidError, match="page before"):
            await stores.messages.contexts(after=5)  # type: ignore[call-overload]


async def test_a_forgotten_await_is_named() -> None:
    with pytest.raises(InvalidError, match="an await is missing"):
        stowfast.open("memory:").messages  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(InvalidError, match="async with"), stowfast.open("memory:"):
        pass
    assert not hasattr(stowfast.open("memory:"), "absent")
