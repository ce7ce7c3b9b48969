"""`stowfast doctor`: its report of a good store, a faulty one, and a missing one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import UnavailableError, sync
from stowfast.backends.memory import MemoryBackend
from stowfast.backends.objects.driver import examine as examine_module
from stowfast.backends.objects.driver import probe as probe_module
from stowfast.backends.objects.protocol.requests import Get
from stowfast.cli import main
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from stowfast.backends.objects.protocol.requests import Steps

    Call: TypeAlias = Callable[..., tuple[int, str, str]]

SECRET = "s3cr3t-of-the-tests"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(probe_module, "_passed", {})
    monkeypatch.setattr(examine_module, "_ROUNDS", 5)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.run(["doctor", *arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def url(server: FaultyS3) -> str:
    return f"s3://bucket/p?endpoint_url={server.endpoint}&access_key_id=me&secret_access_key={SECRET}&timeout=2"


def said(out: str) -> str:
    assert [line for line in out.splitlines() if len(line) > 80] == []
    return " ".join(out.split())


def test_a_file_that_is_well(call: Call, tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path}/agent.db"
    with sync.open(place) as stores:
        stores.messages.add_message("ctx", {"k": 1})
    code, out, err = call(place)
    assert (code, err) == (0, "")
    for sentence in (
        "ok opens",
        "note is served by SQLiteBackend",
        "ok commits",
        "ok gives back what was",
        "ok forgets what was",
    ):
        assert sentence in said(out)
    with sync.open(place) as stores:
        assert stores.messages.get_messages("ctx") == [{"k": 1}]
    assert "object storage" in said(call(place, "--race")[1])


def test_a_program_gets_json(call: Call) -> None:
    code, out, err = call("memory:", "--json")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert (report["url"], report["passed"]) == ("memory:", True)
    findings = {finding["what"]: finding for finding in report["findings"]}
    assert findings["is served by MemoryBackend"]["passed"] is None
    assert findings["opens"]["milliseconds"] > 0


def test_a_mistyped_file_is_not_made(call: Call, tmp_path: Path) -> None:
    code, out, _ = call(f"sqlite:///{tmp_path}/nope.db")
    assert code == 1
    assert "FAILED answers there is no file" in said(out)
    assert list(tmp_path.iterdir()) == []


def test_an_object_store_that_is_well(call: Call, url: str, server: FaultyS3) -> None:
    code, out, err = call(url, "--race")
    assert (code, err) == (0, "")
    for sentence in probe_module.PROMISES:
        assert f"ok {sentence}" in said(out)
    assert "ok lets exactly one of 8 writers win, 10 times" in said(out)
    assert "ok gives back what was committed" in said(out)
    assert [key for key in server.objects if "/probe/" in key] == []


def test_what_is_worth_knowing_is_a_note(call: Call, url: str, server: FaultyS3) -> None:
    server.quirks.etag_form = "unquoted"
    server.quirks.versioned = True
    code, out, err = call(url)
    assert (code, err) == (0, "")
    assert "note compares ETags without their quotes" in said(out)
    assert "note keeps old versions" in said(out)


def test_an_object_store_that_ignores_conditions(call: Call, url: str, server: FaultyS3) -> None:
    server.quirks.ignores_conditions = True
    code, out, err = call(url)
    assert (code, err) == (1, "")
    assert "FAILED answers s3://bucket/p at http" in said(out)
    assert "ignores If-None-Match: two writers" in said(out)
    assert SECRET not in out


def test_an_object_store_that_has_gone_bad_since_it_passed(call: Call, url: str, server: FaultyS3) -> None:
    assert call(url)[0] == 0
    server.quirks.ignores_if_match = True
    code, out, _ = call(url)
    assert code == 1
    assert "FAILED keeps the conditions of a write" in said(out)


def test_races_that_go_wrong_are_told(call: Call, url: str, server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(*_: object, **__: object) -> Steps[probe_module.Probed]:
        yield Get("probe/none")
        return probe_module.Probed(bare_etags=False, keeps_versions=False)

    monkeypatch.setattr(probe_module, "probe", passes)
    monkeypatch.setattr(examine_module, "probe", passes)
    server.quirks.ignores_if_match = True
    code, out, _ = call(url, "--race")
    assert code == 1
    assert "FAILED lets exactly one of 8 writers win, 10 times 5 times not: race 1 to replace a key" in said(out)


def test_keys_that_are_refused(call: Call, url: str, server: FaultyS3) -> None:
    server.fail(Fault.DENIED, times=None)
    code, out, err = call(url, "--json")
    report = json.loads(out)
    assert (code, err, report["passed"]) == (1, "", False)
    assert "AccessDenied" in report["findings"][0]["detail"]
    assert SECRET not in out


def test_a_password_in_the_words_of_a_place_is_not_printed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: MemoryBackend, **__: object) -> AsyncIterator[tuple[str, bool | None, str]]:
        yield "is reached", True, ""
        raise UnavailableError("cannot reach db?password=hunter2-and-more")

    monkeypatch.setattr(MemoryBackend, "examine", fail, raising=False)
    monkeypatch.setattr(MemoryBackend, "open", classmethod(lambda cls, url, password="": opened(cls)))
    code, out, _ = call("memory:?password=hunter2-and-more")
    assert code == 1
    assert "FAILED answers cannot reach" in said(out)
    assert "hunter2" not in out


async def opened(cls: type[MemoryBackend]) -> MemoryBackend:
    return cls()


def test_a_place_that_gives_back_something_else_fails(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def empty(self: MemoryBackend, stream: str, **_: Any) -> Any:
        return (await read(self, stream))._replace(entries=[])

    read = MemoryBackend.read
    monkeypatch.setattr(MemoryBackend, "read", empty)
    code, out, _ = call("memory:")
    assert code == 1
    assert "FAILED gives back what was committed" in said(out)
