"""Many processes on one SQLite file, foreign files, and the remains of a deleted secret."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from stowfast.abc import Change
from stowfast.backends.sqlite import backend as sqlite_backend
from stowfast.backends.sqlite import writer as sqlite_writer
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.backends.sqlite.sweep import all_garbage
from stowfast.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    StowfastError,
    UnavailableError,
    UnsupportedError,
)
from stowfast.names import clock

if TYPE_CHECKING:
    from pathlib import Path

PROCESSES, APPENDS = 8, 250
OPENERS, ROUNDS = 4, 8
STREAM = "messages/shared"

# Says that it is ready, and begins when it is told to, so that all begin at once.
WRITER = f"""
import asyncio, json, sys
from stowfast.abc import Change
from stowfast.backends.sqlite.backend import SQLiteBackend

async def main(url, name):
    place = await SQLiteBackend.open(url)
    print("ready", flush=True)
    sys.stdin.readline()
    receipts = [await place.commit({STREAM!r}, Change([f"{{name}}:{{n}}".encode()])) for n in range({APPENDS})]
    await place.close()
    print(json.dumps([receipt.first for receipt in receipts]), flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""

OPENER = f"""
import asyncio, sys
from stowfast.abc import Change
from stowfast.backends.sqlite.backend import SQLiteBackend

async def main(url, name):
    place = await SQLiteBackend.open(url)
    receipt = await place.commit({STREAM!r}, Change([name.encode()]))
    await place.close()
    return receipt.first

print("ready", flush=True)
for line in sys.stdin:
    try:
        print(asyncio.run(main(line.strip(), sys.argv[1])), flush=True)
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}", flush=True)
"""

FORKER = f"""
import asyncio, os, sys
from stowfast.abc import Change
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.errors import InvalidError

async def blob():
    yield b"x"

async def drain(chunks):
    async for chunk in chunks:
        pass

async def refused(call):
    try:
        async with asyncio.timeout(10):
            await call
    except InvalidError as error:
        return "fork" in str(error)
    return False

async def in_the_child(place):
    wait = place.wait({STREAM!r}, incarnation=None, next=9, timeout=0)
    calls = [
        place.commit({STREAM!r}, Change([b"child"])), place.read({STREAM!r}), place.heads([{STREAM!r}]),
        place.streams(""), wait, place.write_blob({STREAM!r}, blob()), drain(place.read_blob({STREAM!r}, "f" * 32)),
        place.sweep(),
    ]
    return [await refused(call) for call in calls]

async def begin(url):
    place = await SQLiteBackend.open(url)
    for number in range(20):  # so that its threads are there, and are missing in the child
        await place.commit({STREAM!r}, Change([b"parent"]))
    await place.read({STREAM!r})
    return place

async def end(place):
    await place.commit({STREAM!r}, Change([b"parent"]))
    count = len((await place.read({STREAM!r})).entries)
    await place.close()
    return count

place = asyncio.run(begin(sys.argv[1]))
child = os.fork()
if child == 0:
    answers = asyncio.run(in_the_child(place))
    print(answers, flush=True)
    os._exit(0 if all(answers) else 1)
assert os.waitpid(child, 0)[1] == 0, "a call in the child was not refused"
print(asyncio.run(end(place)), flush=True)
"""


def _start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _line(process: subprocess.Popen[str], said: str | None = None) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if said is not None:
        process.stdin.write(f"{said}\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def test_eight_processes_on_one_conversation(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    writers = {f"p{number}": _start(WRITER, url, f"p{number}") for number in range(PROCESSES)}
    for writer in writers.values():
        assert _line(writer) == "ready"
    for writer in writers.values():
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said: dict[str, list[int]] = {}
    for name, writer in writers.items():
        out, err = writer.communicate(timeout=100)
        assert (writer.returncode, err) == (0, ""), f"{name}: {err}"
        said[name] = json.loads(out)

    async def read() -> list[str]:
        place = await SQLiteBackend.open(url)
        head, entries = await place.read(STREAM)
        await place.close()
        assert [entry.position for entry in entries] == list(range(PROCESSES * APPENDS))
        assert head is not None
        assert (head.next, head.length) == (PROCESSES * APPENDS, PROCESSES * APPENDS)
        times = [entry.created_at for entry in entries]
        assert times == sorted(times)
        return [entry.data.decode() for entry in entries]

    texts = asyncio.run(read())
    assert len(set(texts)) == PROCESSES * APPENDS
    for name, positions in said.items():
        mine = [(position, text) for position, text in enumerate(texts) if text.startswith(f"{name}:")]
        assert mine == [(position, f"{name}:{number}") for number, position in enumerate(positions)]
    turns = sum(one.split(":")[0] != other.split(":")[0] for one, other in pairwise(texts))
    print(f"{PROCESSES} processes, {len(texts):,} messages, {turns:,} changes of writer, none lost, none twice")


def test_a_file_is_made_by_four_processes_at_once(tmp_path: Path) -> None:
    openers = [_start(OPENER, f"p{number}") for number in range(OPENERS)]
    for opener in openers:
        assert _line(opener) == "ready"
    for number in range(ROUNDS):
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write(f"sqlite:///{tmp_path}/new-{number}.db\n")
            opener.stdin.flush()
        assert sorted(_line(opener) for opener in openers) == [str(position) for position in range(OPENERS)]
    for opener in openers:
        _, err = opener.communicate(timeout=20)
        assert (opener.returncode, err) == (0, "")
    print(f"{ROUNDS} files, each made by {OPENERS} processes at once")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKER, f"sqlite:///{tmp_path}/forked.db"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == "21"


def _database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def _newer(path: Path) -> None:
    place = await SQLiteBackend.open(f"sqlite:///{path}")
    await place.commit(STREAM, Change([b"x"]))
    await place.close()
    _database(path, "PRAGMA user_version=1000")


async def _refused(path: Path, kind: type[StowfastError], *words: str) -> None:
    before = _bytes(path.parent)
    with pytest.raises(kind) as caught:
        await SQLiteBackend.open(f"sqlite:///{path}")
    for word in (path.name, *words):
        assert word in str(caught.value)
    assert _bytes(path.parent) == before


async def test_the_database_of_somebody_else_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    _database(path, "CREATE TABLE streams (id INTEGER)", "INSERT INTO streams VALUES (1)")
    await _refused(path, InvalidError, "not a Stowfast file", "choose another name")
    _database(path, "PRAGMA journal_mode=WAL", "INSERT INTO streams VALUES (2)")
    await _refused(path, InvalidError, "not a Stowfast file")


async def test_a_text_is_left_untouched(tmp_path: Path) -> None:
    for text in ("hello\n", "SQLite format 2, and more" * 99):
        path = tmp_path / "notes.txt"
        path.write_text(text)
        await _refused(path, InvalidError, "not a Stowfast file")


async def test_a_newer_file_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    await _newer(path)
    await _refused(path, UnsupportedError, "1000", "upgrade")


async def test_a_file_in_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="does not exist"):
        await SQLiteBackend.open(f"sqlite:///{tmp_path}/missing/agent.db")
    assert _bytes(tmp_path) == {}


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises((InvalidError, UnavailableError)):
        await SQLiteBackend.open(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
async def test_a_place_in_memory_has_another_name(url: str) -> None:
    with pytest.raises(InvalidError, match="memory:"):
        await SQLiteBackend.open(url)


async def test_a_deleted_secret_is_not_in_the_file(tmp_path: Path) -> None:
    secret = b"the launch code is 00000000"

    async def chunks():
        for _ in range(3):
            yield secret * 10_000

    def found() -> list[str]:
        return [name for name, held in _bytes(tmp_path).items() if secret in held]

    async with AsyncExitStack() as openings:
        place, other = [await SQLiteBackend.open(f"sqlite:///{tmp_path}/secret.db") for _ in range(2)]
        openings.push_async_callback(place.close)
        openings.push_async_callback(other.close)
        blob = await place.write_blob(STREAM, chunks())
        await place.commit(
            STREAM, Change([secret, secret * 9_000], note=secret, labels={"code": secret.decode()}, blobs=(blob,))
        )
        await place.commit("another", Change([b"harmless"]))
        await other.read(STREAM)
        assert found() != []
        await place.commit(STREAM, Change(delete=True))
        with pytest.raises(NotFoundError):
            await anext(place.read_blob(STREAM, blob))
        await place.sweep()
        assert found() == [], "what was deleted and swept can still be read from the disk"
        await place.commit(STREAM, Change([secret], op_id="op"))
        await place.commit(STREAM, Change(delete=True))
        await place.sweep()
        assert found() == [], "without a blob to sweep"


@pytest.mark.parametrize("sweeps", [1, 9])
async def test_an_upload_of_days_is_whole_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweeps: int
) -> None:
    now = clock

    async def slow(swept: bool):
        for _ in range(80):
            yield b"A" * 2**18
        if swept:
            for module in (sqlite_backend, sqlite_writer):
                monkeypatch.setattr(module, "clock", lambda: now() + 2 * 86_400 * 1_000_000)
            (step,) = place._look(all_garbage)
            for _ in range(sweeps):  # one transaction of a sweep at a time, as beside a busy writer
                await place._group.submit(step)
            for module in (sqlite_backend, sqlite_writer):
                monkeypatch.setattr(module, "clock", now)
            others.append(await place.write_blob("other", slow(False)))
        yield b"the end"

    others: list[str] = []
    async with AsyncExitStack() as openings:
        place = await SQLiteBackend.open(f"sqlite:///{tmp_path}/slow.db")
        openings.push_async_callback(place.close)
        blob = await place.write_blob(STREAM, slow(True))
        with pytest.raises(ConflictError):
            await place.commit(STREAM, Change([b"x"], blobs=(blob,)))
        await place.commit("other", Change([b"x"], blobs=others))
        body = b"".join([chunk async for chunk in place.read_blob("other", others[0])])
        assert body == b"A" * 80 * 2**18 + b"the end"


async def test_waits_that_end_with_their_time_leave_nothing_behind(tmp_path: Path) -> None:
    async with AsyncExitStack() as openings:
        place = await SQLiteBackend.open(f"sqlite:///{tmp_path}/quiet.db")
        openings.push_async_callback(place.close)
        for _ in range(50):
            assert not await place.wait(STREAM, incarnation=None, next=0, timeout=0.001)
        assert not await place.wait(STREAM, incarnation=None, next=0, timeout=0.1)
        assert len(place._news._waiters.all()) < 10
