"""Fixtures of all tests: real conversations, and a check after each test for open threads and connections."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

SLOW = {
    "recipes",
    *("browser", "chaos", "crash", "simulator", "test_bytes.py", "test_damage.py", "test_datasets.py", "test_demo.py"),
    *("test_docs.py", "test_files.py", "test_forgeries.py", "test_hostile_arguments.py", "test_hostile_surface.py"),
    *("test_networks.py", "test_pace.py", "test_replay.py", "test_requests.py", "test_segments.py"),
    *("test_slow_bodies.py", "test_state_machine.py", "test_sweep_pace.py", "test_task_requests.py"),
    *("test_terminal.py", "test_verify_buckets.py", "test_watchdog.py", "test_whole_place.py"),
}
"""The folders and files of slow tests. A single test has the marker itself."""

# The adapters are tested beside their frameworks: `make test-frameworks`.
collect_ignore_glob = [] if "STOWFAST_FRAMEWORK" in os.environ else ["frameworks/*"]

pytest_plugins = ["tests.services.fixtures"]

# A machine that is busy is no reason to fail; in CI, hypothesis's own profile (no random seeds) stays the base.
settings.register_profile("house", settings.default, deadline=None)
settings.load_profile("house")

# A run in the background of a shell ignores SIGINT, and so would each process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW.intersection(item.path.relative_to(ROOT).parts) or item.get_closest_marker("soak"):
            item.add_marker("slow")
    # Those that wait longest begin first: else all other workers have ended long before the last one.
    items.sort(key=lambda item: item.path.name != "test_watchdog.py")


def pytest_collection_finish() -> None:
    # The tests themselves are half a million objects. Python's garbage collector went through them again and again, for
    # a quarter of the time of all tests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 20)


@pytest.fixture(scope="session")
def airline() -> list[dict[str, Any]]:
    """A hundred real conversations of an airline's agent, each with a `context_id` and its `messages`."""
    folder = Path(os.environ.get("STOWFAST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "airline-conversations.jsonl"
    if not path.is_file():
        pytest.skip(f"no real conversations here: STOWFAST_DATA names no folder with {path.name}")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [{key: record[key] for key in ("context_id", "messages")} for record in map(json.loads, lines)]


# Python warns of an unclosed SQLite connection only since 3.13, and only when it is collected. The audit hook sees
# each one as it is opened; the reference kept here keeps it from being closed by accident.
_opened: list[sqlite3.Connection] = []


def _remember(event: str, args: tuple[Any, ...]) -> None:
    if event == "sqlite3.connect/handle":
        _opened.append(args[0])


sys.addaudithook(_remember)


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018 - raises once it is closed, from whichever thread
    except sqlite3.ProgrammingError:
        return False
    return True


def _lingering(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """Fail a test if a thread still runs or a connection is still open after it."""
    _opened.clear()
    before = set(threading.enumerate())
    yield
    patience = time.monotonic() + 2  # a thread that was told to end may need a moment
    while _lingering(before) and time.monotonic() < patience:
        time.sleep(0.001)
    assert [thread.name for thread in _lingering(before)] == [], "threads were left running"
    still_open = sum(map(_is_open, _opened))
    assert still_open == 0, f"{still_open} SQLite connections were left open"
