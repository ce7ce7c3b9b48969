"""Accidents of a file and a process: forks, interrupts, removed files, clocks, wrong values."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast.abc import Change
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.errors import ConflictError, InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FORKER = """
import os, sys, stowfast.sync
path = sys.argv[1]
parent = stowfast.sync.open(path)
parent.messages.add_message("c", {"by": "parent"})
child = os.fork()
if child == 0:
    try:
        stowfast.sync.open(path)
    except stowfast.InvalidError as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(9)
_, status = os.waitpid(child, 0)
parent.messages.add_message("c", {"by": "parent"})
parent.close()
with stowfast.sync.open(path) as again:
    assert again.messages.count("c") == 2
sys.exit(os.waitstatus_to_exitcode(status))
"""

INTERRUPTED = """
import signal, sys, stowfast.sync
armed = False
def interrupt(*_):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt
signal.signal(signal.SIGINT, interrupt)
acked = interrupts = 0
with stowfast.sync.open(sys.argv[1]) as stores:
    stores.messages.count("c")  # an interrupt inside an import of Python is another matter
    print("ready", flush=True)
    while interrupts < 100:
        try:
            armed = True
            stores.messages.add_message("c", {"n": acked})
            acked += 1
            armed = False
        except KeyboardInterrupt:
            interrupts += 1
    armed = False
    stores.messages.add_message("c", {"n": "last"})
    found = stores.messages.get_messages("c")
print(acked, len(found), found[-1]["n"], flush=True)
"""


OPENED = """
import os, sys, stowfast.sqlite, stowfast.sync
path, opened = sys.argv[1], []
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and os.fsdecode(args[0]) == path:
        opened.append(args[2])
sys.addaudithook(hook)
for _ in range(2):
    with stowfast.sync.open(f"sqlite:///{path}") as one, stowfast.sync.open(f"sqlite:///{path}") as two:
        one.messages.add_message("c", {})
        two.messages.get_messages("c")
        one.sweep()
with stowfast.sync.open(f"sqlite:///{path}", read_only=True) as reader:
    reader.messages.get_messages("c")
stowfast.sqlite.backup(path, path + ".copy")
stowfast.sqlite.compact(path)
stowfast.sqlite.restore(path + ".copy", path, replace=True)
print([bool(flags & os.O_EXCL) for flags in opened])
"""


def test_no_descriptor_of_a_file_is_opened_beside_sqlite(tmp_path: Path) -> None:
    # Closing one would drop the locks that SQLite has in this process. Only the one that makes the file is harmless.
    ran = subprocess.run(
        [sys.executable, "-c", OPENED, f"{tmp_path}/agent.db"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("[True]\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_may_not_open_what_was_open_when_it_was_forked(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKER, f"sqlite:///{tmp_path}/agent.db"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 7


def test_an_interrupt_leaves_the_file_usable(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, f"sqlite:///{tmp_path}/agent.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 30
        while writer.poll() is None:  # until it has had a hundred
            writer.send_signal(signal.SIGINT)
            time.sleep(0.0005)
            if time.monotonic() > deadline:
                writer.kill()
        acked, found, last = writer.stdout.read().split()
    print(f"100 interrupts, {acked} acknowledged, {found} found")
    assert last == "last"
    # An interrupted write may be done or not; an acknowledged one is.
    assert int(acked) < int(found) <= int(acked) + 101


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with stowfast.sync.open("sqlite:///agent.db") as stores:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        stores.messages.add_message("c", {})
        assert stores.messages.count("c") == 1
        assert os.listdir(tmp_path / "elsewhere") == []


def test_a_removed_file_takes_no_more_writes(tmp_path: Path) -> None:
    with stowfast.sync.open(f"sqlite:///{tmp_path}/agent.db") as stores:
        stores.messages.add_message("c", {})
        (tmp_path / "agent.db").unlink()
        with pytest.raises(UnavailableError, match="removed or replaced"):
            stores.messages.add_message("c", {})
        assert not (tmp_path / "agent.db").exists()


def test_a_second_opening_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"
    other = f"import stowfast.sync\nwith stowfast.sync.open({url!r}) as s: s.messages.add_message('c', {{}})"
    with stowfast.sync.open(url) as one:
        one.messages.add_message("c", {})
        with stowfast.sync.open(url) as two:
            two.messages.add_message("c", {})
        # Closing the last opening removes the log. Were our locks gone, this process would be the last one.
        subprocess.run([sys.executable, "-c", other], check=True, timeout=60)
        assert (tmp_path / "agent.db-wal").exists()
        one.messages.add_message("c", {})
    with stowfast.sync.open(url) as stores:
        assert stores.messages.count("c") == 4


async def test_a_cancelled_watch_ends(tmp_path: Path) -> None:
    async with stowfast.open(f"sqlite:///{tmp_path}/agent.db") as stores:

        async def watch() -> None:
            async for _ in stores.messages.watch("c"):
                pass

        for _ in range(30):
            watching = asyncio.create_task(watch())
            await stores.messages.add_message("c", {})
            watching.cancel()
            async with asyncio.timeout(10):
                await asyncio.gather(watching, return_exceptions=True)
            assert watching.cancelled()


async def test_uploads_that_outlive_their_place_are_told(tmp_path: Path) -> None:
    backend = await SQLiteBackend.open(f"sqlite:///{tmp_path}/agent.db")
    goes_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        await goes_on.wait()
        yield b"b"

    uploads = [asyncio.create_task(backend.write_blob("s", chunks())) for _ in range(4)]
    await backend.heads(["s"])
    await backend.close()
    goes_on.set()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*uploads, return_exceptions=True)
    assert [type(result) for result in results] == [InvalidError] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"expires_at": 2**70},
        {"base": 2**70},
        {"expect": 0.5},
        {"cut_from": "1"},
        {"entries": ("text",)},
        {"entries": ([1],)},
        {"blobs": (2**70,)},
        {"labels": {"k": 1}},
        {"note": "text"},
    ],
)
async def test_one_bad_value_is_nobody_elses(wrong: dict[str, Any], tmp_path: Path) -> None:
    backend = await SQLiteBackend.open(f"sqlite:///{tmp_path}/agent.db")
    try:
        good = [backend.commit("good", Change(entries=(b"x",))) for _ in range(3)]
        *done, refused = await asyncio.gather(*good, backend.commit("bad", Change(**wrong)), return_exceptions=True)
        assert isinstance(refused, InvalidError)
        assert not any(isinstance(one, BaseException) for one in done)
    finally:
        await backend.close()


async def test_a_clock_that_goes_back_forgets_no_op_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    async with stowfast.open(f"sqlite:///{tmp_path}/agent.db") as stores:
        monkeypatch.setattr(time, "time_ns", lambda: now + 3_600 * 10**9)
        for n in range(64):
            await stores.messages.add_message("c", {"n": n}, op_id=f"ahead-{n}")
        await stores.messages.delete("c")
        monkeypatch.setattr(time, "time_ns", lambda: now)
        await stores.messages.add_message("c", {"n": "mine"}, op_id="mine")
        await stores.messages.delete("c")
        assert await stores.messages.add_message("c", {"n": "mine"}, op_id="mine") == 0
        assert await stores.messages.get_messages("c") == []
        with pytest.raises(ConflictError):
            await stores.messages.add_messages("c", [{}], expect=1)


def test_many_openings_in_many_threads(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"

    def write() -> None:
        for _ in range(10):
            with stowfast.sync.open(url) as stores:
                stores.messages.add_message("c", {})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stowfast.sync.open(url) as stores:
        assert stores.messages.count("c") == 40
