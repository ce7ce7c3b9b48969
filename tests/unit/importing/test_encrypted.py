"""Encrypted items: the ways of a key, and no line with it. `tests/frameworks/openai_agents` has those of the SDK."""

from __future__ import annotations

import builtins
import io
import json
import logging
import traceback
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest

import stowfast.sync
from stowfast import InvalidError, UnsupportedError, importing
from stowfast.cli.main import run
from stowfast.importing.options import SourceOptions
from tests.unit.importing.sources import messages, sessions

if TYPE_CHECKING:
    from pathlib import Path

OPENAI = "openai-agents"
KEY = "canary-K3y-of-ada-😀"


def sealed(session: str, items: list[dict[str, Any]], key: bytes = KEY.encode()) -> list[dict[str, Any]]:
    """Return envelopes as the SDK makes them."""
    pytest.importorskip("cryptography")
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(SHA256(), 32, session.encode(), b"agents.session-store.hkdf.v1").derive(key)
    cipher = Fernet(urlsafe_b64encode(derived))
    return [
        {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": cipher.encrypt(json.dumps(one).encode()).decode()}
        for one in items
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return sessions(tmp_path / "s.db", {"a": sealed("a", messages(3)), "b": messages(2)})


async def test_without_a_key_nothing_encrypted_is_imported(source: Path) -> None:
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from(OPENAI, str(source), stores)
        assert [one.stream for one in done.differences] == ["messages/a"]
        assert "message 0 is encrypted: give the key" in done.differences[0].reason
        assert await stores.messages.get_messages("a") == []
        assert await stores.messages.get_messages("b") == messages(2)
        done = await importing.import_from(OPENAI, str(source), stores, key=KEY)
        assert (done.streams, done.already_there, done.complete) == (1, 1, True)
        assert await stores.messages.get_messages("a") == messages(3)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"v": 2}, "in a way that is not known"),
    ({"kid": "other"}, "in a way that is not known"),
    ({"payload": 7}, "in a way that is not known"),
    ({"payload": ""}, "not opened by the key"),
    ({"payload": "\ud83d"}, "not opened by the key"),
    ({"payload": "x" * 100_000}, "not opened by the key"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=lambda one: str(one)[:30].encode("ascii", "replace").decode())
async def test_an_envelope_that_is_not_opened_refuses_its_conversation(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    good, *rest = sealed("a", messages(2))
    bad = sessions(tmp_path / "bad.db", {"a": [good, {**rest[0], **change}], "b": messages(1)})
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from(OPENAI, str(bad), stores, key=KEY)
        assert [one.stream for one in done.differences] == ["messages/a"]
        assert "message 1 is" in done.differences[0].reason
        assert words in done.differences[0].reason
        assert await stores.messages.get_messages("a") == []


async def test_an_envelope_of_another_session_and_one_of_no_object(tmp_path: Path) -> None:
    moved, listed = sealed("other", messages(1)), sealed("b", [[1]])  # type: ignore[list-item]
    bad = sessions(tmp_path / "bad.db", {"a": moved, "b": listed})
    done = await importing.import_from(OPENAI, str(bad), "memory:", key=KEY)
    assert ["not opened" in one.reason or "no JSON object" in one.reason for one in done.differences] == [True, True]


def given(way: str, folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Give the key in one of the ways of the command."""
    (folder / "key").write_bytes(KEY.encode() + b"\r\n")
    match way:
        case "variable":
            patch.setenv("STOWFAST_IMPORT_KEY", KEY)
            return []
        case "stdin":
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(KEY.encode() + b"\n")))
            return ["--key-file", "-"]
        case _:
            patch.setenv("STOWFAST_IMPORT_KEY", "another")
            return ["--key-file", str(folder / "key")]


@pytest.mark.parametrize("way", ["variable", "stdin", "file"])
def test_the_ways_of_a_key(
    way: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = given(way, tmp_path, monkeypatch)
    url = f"sqlite:///{tmp_path}/t.db"
    assert run(["import-from", OPENAI, str(source), url, *key]) == 0
    with stowfast.sync.open(url) as stores:
        assert stores.messages.get_messages("a") == messages(3)
    monkeypatch.setenv("STOWFAST_IMPORT_KEY", KEY)  # of no use to another kind, nor where items stay encrypted
    assert run(["import-from", OPENAI, str(source), f"sqlite:///{tmp_path}/u.db", "--keep-encrypted"]) == 0
    assert run(["import-from", "langchain", str(source), url]) == 1
    seen = capfd.readouterr()
    assert "no table 'message_store'" in seen.err
    assert KEY not in seen.out + seen.err


def test_a_file_that_is_no_key(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe" + KEY.encode())
    (tmp_path / "empty").write_bytes(b"\n")
    command = ["import-from", OPENAI, str(source), "memory:", "--key-file"]
    for name, words in (("key", "no text of UTF-8"), ("empty", "the key is empty"), ("none", "there is no file")):
        assert run([*command, str(tmp_path / name)]) in {1, 2}
        seen = capfd.readouterr()
        assert words in seen.err
        assert "canary" not in seen.err


async def test_no_error_and_no_log_has_the_key(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert KEY not in repr(SourceOptions({}, KEY))
    for options in ({"key": KEY, "keep_encrypted": True}, {"key": KEY + "\ud800"}, {"key": KEY.encode()}):
        with pytest.raises(InvalidError) as raised:
            await importing.import_from(OPENAI, str(source), "memory:", **options)
        assert "canary" not in "".join(traceback.format_exception(raised.value))
    with pytest.raises(InvalidError, match="langchain has no items"):
        await importing.import_from("langchain", str(source), "memory:", key=KEY)
    done = await importing.import_from(OPENAI, str(source), "memory:", key=KEY + "x")
    assert "canary" not in f"{done}{caplog.text}"
    assert not done.complete


async def test_without_the_library_the_error_names_the_extra(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UnsupportedError, match=r"stowfast\[encrypted\]"):
        await importing.import_from(OPENAI, str(source), "memory:", key=KEY)
    assert (await importing.import_from(OPENAI, str(source), "memory:")).streams == 1
