"""The look at the log of a file: its inode and its size, and never its times."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

import stowfast.sync
from stowfast.backends.sqlite import inodes
from stowfast.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["statx", "stat"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Look with `statx`, where the system has it; and as a system without it."""
    if request.param == "stat":
        monkeypatch.setattr(inodes, "_statx", None)
    elif sys.platform != "linux":
        pytest.skip("statx is a call of Linux: run it there")
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_inode_and_size_are_those_of_stat(tmp_path: Path) -> None:
    for size in (0, 1, 5_000_000_000):
        file = tmp_path / f"é-{size}"
        with file.open("wb") as made:
            made.truncate(size)
        found = inodes.file_size(os.fsencode(file))
        assert (found.inode, found.bytes) == (file.stat().st_ino, size)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ["absent", "a-file/below"])
def test_file_that_is_not_there_is_the_error_of_stat(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(OSError) as expected:  # noqa: PT011 - whichever it is
        os.stat(tmp_path / name)
    with pytest.raises(type(expected.value)) as raised:
        inodes.file_size(os.fsencode(tmp_path / name))
    assert raised.value.errno == expected.value.errno


@pytest.mark.usefixtures("way")
def test_log_that_was_replaced_or_removed_is_found(tmp_path: Path) -> None:
    for end in ("replaced", "removed"):
        path = tmp_path / f"{end}.db"
        with stowfast.sync.open(f"sqlite:///{path}") as stores:
            stores.messages.add_message("c", {"n": 1})
            log = tmp_path / f"{end}.db-wal"
            if end == "replaced":
                other = tmp_path / "other"
                other.write_bytes(log.read_bytes())
                other.replace(log)
            else:
                log.unlink()
            with pytest.raises(UnavailableError, match="removed or replaced"):
                stores.messages.add_message("c", {"n": 2})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux makes the times of a file finer after a look at them")
def test_no_commit_and_no_read_looks_at_the_times_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    stat = os.stat

    def spy(path: Any, *args: Any, **options: Any) -> os.stat_result:
        looked.append(os.fsdecode(path) if isinstance(path, bytes | str) else "")
        return stat(path, *args, **options)

    with stowfast.sync.open(f"sqlite:///{tmp_path / 'agent.db'}") as stores:
        stores.messages.add_message("c", {"n": 1})
        monkeypatch.setattr(os, "stat", spy)
        for n in range(20):
            stores.messages.add_message("c", {"n": n})
            stores.messages.add_message("c", {"n": n}, op_id=f"call-{n}")
            stores.messages.get_messages("c", last=5)
            stores.messages.info("c")
        monkeypatch.undo()
    assert looked, "the spy saw nothing"
    assert not [path for path in looked if path.endswith("-wal")]
