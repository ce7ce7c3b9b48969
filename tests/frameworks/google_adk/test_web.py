"""`adk web` as a process, with its sessions in a Stowfast file: they are there after a kill and a restart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 300
"""Far more than a start takes: a server that hangs is killed, and the test fails."""

SERVICES = "from stowfast.adapters.google_adk import register\nregister()\n"
AGENT = 'from google.adk.agents import Agent\nroot_agent = Agent(name="app", model="none")\n'


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    folder = tmp_path / "agents"
    (folder / "app").mkdir(parents=True)
    (folder / "services.py").write_text(SERVICES)
    (folder / "app" / "__init__.py").write_text("from . import agent\n")
    (folder / "app" / "agent.py").write_text(AGENT)
    return folder


@contextmanager
def adk_web(agents: Path, uri: str) -> Iterator[str]:
    """Run the server on a free port and yield its address; kill it at the end."""
    options = ["--host", "127.0.0.1", "--port", "0", "--session_service_uri", uri, str(agents)]
    command = [sys.executable, "-W", "ignore", "-m", "google.adk.cli", "web", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    watch = threading.Timer(START_SECONDS, server.kill)
    # Reads on to the end: a full pipe would stop the server.
    rest = threading.Thread(target=server.stdout.read)
    watch.start()
    try:
        lines = list[str]()
        for line in server.stdout:
            lines.append(line)
            running = re.search(r"Uvicorn running on (http://127\.0\.0\.1:\d+)", line)
            if running:
                break
        else:
            raise AssertionError("".join(lines))
        rest.start()
        yield running[1]
    finally:
        watch.cancel()
        server.kill()
        server.wait()
        if rest.ident is not None:
            rest.join()
        server.stdout.close()


def answer(url: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON of a GET, or of a POST with a body. A proxy of the environment is left aside."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=START_SECONDS) as response:
        return json.load(response)


@pytest.mark.slow
def test_a_session_of_adk_web_is_there_after_a_kill(agents: Path, tmp_path: Path) -> None:
    uri = f"stowfast+sqlite:///{tmp_path}/agent.db"
    with adk_web(agents, uri) as address:
        made = answer(f"{address}/apps/app/users/ada/sessions", {"state": {"color": "green"}})
    with adk_web(agents, uri) as address:
        listed = answer(f"{address}/apps/app/users/ada/sessions")
        found = answer(f"{address}/apps/app/users/ada/sessions/{made['id']}")
    assert [one["id"] for one in listed] == [made["id"]]
    assert found["state"] == {"color": "green"}
