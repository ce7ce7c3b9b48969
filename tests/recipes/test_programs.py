"""The recipes without a server: each runs, and stores as its page says."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import stowfast

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "examples" / "recipes"


def needs(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            assert not os.environ.get("CI"), f"make test installs {package}"
            pytest.skip(f"{package} is not installed: make .venv/test")


def recipe(name: str, *packages: str) -> Any:
    needs(*packages)
    return importlib.import_module(f"examples.recipes.{name}")


async def test_each_tenant_sees_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    await recipe("tenants").main("memory:")
    assert "bob reads [{'role': 'user', 'content': 'Hello'}]" in capsys.readouterr().out


async def test_a_side_bar_has_titles_and_pages(capsys: pytest.CaptureFixture[str]) -> None:
    await recipe("side_bar").main("memory:")
    assert capsys.readouterr().out.splitlines() == [
        "30 and 5 the top is chat-34",
        "[{'id': 'chat-3', 'title': 'Trains to Hamburg'}]",
    ]


async def test_older_messages_come_in_pages(capsys: pytest.CaptureFixture[str]) -> None:
    await recipe("load_older").main("memory:")
    assert capsys.readouterr().out.splitlines()[:3] == ["70 to 119", "20 to 69", "0 to 19"]


def test_tables_become_frames(capsys: pytest.CaptureFixture[str]) -> None:
    recipe("pandas_tables").main("memory:")
    assert capsys.readouterr().out.splitlines() == ["2232000 people in 2 cities", "mean price 10.0"]


def test_the_tests_of_an_agent_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(RECIPES / "test_agent.py")],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_message_of_a_queue_is_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipe("lambda_handler")
    monkeypatch.setenv("STORES", f"sqlite:///{tmp_path}/agent.db")
    body = '{"chat": "chat-1", "message": {"role": "user", "content": "hi"}}'
    event = {"Records": [{"messageId": "m-1", "body": body}, {"messageId": "m-2", "body": body}]}
    try:
        assert [module.handler(event, None) for _ in range(2)] == [{"batchItemFailures": []}] * 2
        assert module.stores().messages.count("chat-1") == 2
    finally:
        module.stores().close()
        module.stores.cache_clear()


async def test_a_tool_is_called_once_though_a_worker_dies(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    module = recipe("leased_agent")
    call, died = module.call, list[str]()

    async def dies_once(tool: str, key: str) -> str:
        if tool == "mail" and not died:
            died.append(key)
            raise SystemError("the process dies here")
        return str(await call(tool, key))

    monkeypatch.setattr(module, "call", dies_once)
    async with stowfast.open("memory:") as stores:
        await stores.tasks.save(stowfast.TaskState(task_id="trip", context_id="trips"))
        with pytest.raises(ExceptionGroup):
            await module.worker(stores, "worker-1", timedelta(microseconds=1))
        await module.worker(stores, "worker-2")
        assert [one["content"] for one in await stores.messages.get_messages("trips")] == [
            "search: done", "book: done", "mail: done",
        ]  # fmt: skip
    assert died == ["trip/mail"]
    assert capsys.readouterr().out.splitlines() == [f"calling {tool} for trip/{tool}" for tool in module.TOOLS]


async def test_a_deploy_stops_a_worker_and_the_next_one_goes_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"
    async with stowfast.open(url) as stores:
        await stores.tasks.save(stowfast.TaskState(task_id="long", data={"results": []}))
    program = [sys.executable, str(RECIPES / "resume_after_deploy.py"), url]
    first = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    assert first.stdout is not None
    lines = [await first.stdout.readline()]
    first.send_signal(signal.SIGTERM)
    lines += (await first.stdout.read()).splitlines()
    assert await first.wait() == 0
    second = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    lines += (await second.communicate())[0].splitlines()
    assert [line.decode().strip() for line in lines] == [f"long step {number}" for number in range(1, 9)]
    async with stowfast.open(url) as stores:
        state = await stores.tasks.load("long")
        assert state is not None
        assert (state.status, len(state.data["results"])) == ("completed", 8)
