"""The recipes with processes of their own: the forks of gunicorn and Celery, and the kernel of a notebook."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

import stowfast
from tests.recipes.test_programs import RECIPES, needs, recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

WAIT = 120


@contextmanager
def server(folder: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block, and stop it as an operator does."""
    paths = os.pathsep.join([str(RECIPES), str(folder)])
    told = {**os.environ, "PYTHONPATH": paths, **environment}
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=told, stdout=log, stderr=log)
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(WAIT)


def test_gunicorns_workers_store_each_message_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe("flask_chat", "flask", "gunicorn")
    monkeypatch.chdir(tmp_path)  # so that the path of the socket is short
    command = (
        "gunicorn",
        "-c",
        str(RECIPES / "gunicorn_conf.py"),
        "--bind",
        "unix:socket",
        "--no-control-socket",
        "flask_chat:app",
    )
    with server(tmp_path, *command, STORES="sqlite:///chat.db") as running:
        transport = httpx.HTTPTransport(uds="socket", retries=0)
        with httpx.Client(
            transport=transport, base_url="http://chat", headers={"Connection": "close"}, timeout=WAIT
        ) as client:
            while not Path("socket").exists():
                assert running.poll() is None, Path("log").read_text(encoding="utf-8")
                time.sleep(0.01)

            def say(number: int) -> int:
                told = {"Idempotency-Key": f"call-{number // 2}"}  # each call twice, as after a lost answer
                return int(client.post("/chats/c", json={"content": str(number // 2)}, headers=told).json()["position"])

            with ThreadPoolExecutor(4) as pool:
                positions = list(pool.map(say, range(40)))
            assert sorted(positions) == sorted([*range(20), *range(20)])
            assert len(client.get("/chats/c").json()) == 20


async def test_a_task_of_celery_that_comes_twice_is_stored_once(tmp_path: Path) -> None:
    recipe("celery_agent", "celery")
    from celery import Celery

    queue = tmp_path / "queue"
    queue.mkdir()
    options = {"data_folder_in": str(queue), "data_folder_out": str(queue), "control_folder": str(tmp_path)}
    (tmp_path / "told.py").write_text(
        f"from celery_agent import app\napp.conf.broker_transport_options = {options!r}\n", encoding="utf-8"
    )
    sender = Celery(broker="filesystem://")
    sender.conf.broker_transport_options = options
    url = f"sqlite:///{tmp_path}/agent.db"
    command = ("celery", "-A", "told", "worker", "--concurrency", "1", "--loglevel", "info", "--without-mingle")
    for task in ("t-1", "t-1", "t-2"):
        sender.send_task("answer", ["chat-1", task], task_id=task)
    sender.close()
    with server(tmp_path, *command, STORES=url, BROKER="filesystem://"):
        async with stowfast.open(url) as stores, asyncio.timeout(WAIT):
            async for entry in stores.messages.watch("chat-1", after=0):
                if entry.message["content"] == "You said: t-2":
                    break
    async with stowfast.open(url) as stores:
        found = [one["content"] for one in await stores.messages.get_messages("chat-1")]
    assert sorted(found) == ["You said: t-1", "You said: t-2", "t-1", "t-2"]


def test_the_cells_of_a_notebook_run_in_a_kernel(tmp_path: Path) -> None:
    needs("nbclient", "ipykernel")
    import nbformat
    from nbclient import NotebookClient

    cells = (RECIPES / "notebook.py").read_text(encoding="utf-8").split("# %%\n")[1:]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=WAIT, startup_timeout=WAIT, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert "chat-1" in str([cell.outputs for cell in notebook.cells])
