"""The size of the log: beside endless readers, on a full disk, and in a small file."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

import stowfast.sync
from stowfast.backends.sqlite import log
from stowfast.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 2**20
READERS, WRITES = 3, 4_000
DISK_BYTES = 6 * MIB


def size(path: str) -> int:
    return os.stat(path).st_size


def test_a_log_is_bounded_beside_readers_that_never_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_LOG_BYTES", 4 * MIB)
    url = f"sqlite:///{tmp_path}/agent.db?durability=relaxed"
    over = threading.Event()
    reads = [0] * READERS

    def read(reader: int) -> None:
        with stowfast.sync.open(url) as stores:
            while not over.is_set():
                stores.messages.get_messages("read")
                reads[reader] += 1

    with stowfast.sync.open(url) as stores:
        stores.messages.add_messages("read", [{"text": "x" * 2_000}] * 500)
        readers = [threading.Thread(target=read, args=(reader,)) for reader in range(READERS)]
        for thread in readers:
            thread.start()
        largest = 0
        for number in range(WRITES):
            stores.messages.add_message("written", {"n": number, "text": "x" * 4_000})
            largest = max(largest, size(f"{tmp_path}/agent.db-wal"))
        over.set()
        for thread in readers:
            thread.join()
        assert stores.messages.count("written") == WRITES
    print(f"{WRITES:,} writes beside {sum(reads):,} reads: the log had at most {largest / MIB:.1f} MiB")
    assert min(reads) > 10
    assert largest < 16 * MIB  # the bound, and what is written until the next look at it


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root only")
    command = [mount, "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(tmp_path)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_has_its_room_in_the_file_and_nothing_is_lost(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/agent.db"
    randomness = random.Random(1)
    acknowledged = 0

    def fill(stores: stowfast.sync.Stores) -> None:
        nonlocal acknowledged
        while True:
            stores.messages.add_message("c", {"text": randomness.randbytes(1_000).hex()})
            acknowledged += 1

    with stowfast.sync.open(url) as stores:
        for _ in range(3):
            with pytest.raises(UnavailableError, match=r"the disk is full: [\d,]+ bytes are free"):
                fill(stores)
        assert size(f"{small_disk}/agent.db") > DISK_BYTES * 2 // 3
        assert stores.messages.count("c") == acknowledged
    with stowfast.sync.open(url) as stores:  # opening needs no room
        assert stores.messages.count("c") == acknowledged
        subprocess.run(["mount", "-o", f"remount,size={DISK_BYTES * 2}", str(small_disk)], check=True)
        stores.messages.add_message("c", {})
        assert stores.messages.count("c") == acknowledged + 1
    print(f"{acknowledged:,} acknowledged, {acknowledged:,} found")


def test_most_of_a_small_file_is_in_the_file_itself(tmp_path: Path) -> None:
    with stowfast.sync.open(f"sqlite:///{tmp_path}/agent.db") as stores:
        for number in range(500):
            stores.messages.add_message("c", {"n": number})
        shutil.copyfile(tmp_path / "agent.db", tmp_path / "copy.db")  # as after a kill, without the log
    with stowfast.sync.open(f"sqlite:///{tmp_path}/copy.db") as stores:
        assert stores.messages.count("c") > 300
