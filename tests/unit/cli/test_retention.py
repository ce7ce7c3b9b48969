"""The command for the rules of retention: it tells before a sweep removes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import typer

import stowfast.sync
from stowfast.cli.commands.retention import duration, said
from stowfast.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path


def emitted(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capfd.readouterr()
    assert run([*arguments, "--json"]) == code
    return json.loads(capfd.readouterr().out)


def test_rules_are_set_told_carried_out_and_removed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/one.db"
    with stowfast.sync.open(url) as stores:
        for name in ("trial/1", "other"):
            stores.messages.add_messages(name, [{"n": n} for n in range(10)], metadata={"user": "ada"})
    target = ("--prefix", "trial/", "--where", "user=ada")
    assert emitted(capfd, "retention", url) == {"rules": [], "due": []}
    emitted(capfd, "retention", url, "messages", "--count", "4", "--age", "30d", *target)
    told = emitted(capfd, "retention", url)
    bounds = {"age": "30 days", "count": 4}
    rule = {"kind": "messages", "prefix": "trial/", "where": {"user": "ada"}, "scope": None, "retention": bounds}
    assert told["rules"] == [rule]
    assert told["due"] == [{"kind": "messages", "id": "trial/1", "entries": 6, "whole": False}]
    assert run(["retention", url]) == 0
    assert "the oldest 6 of messages/trial/1" in capfd.readouterr().out
    assert emitted(capfd, "gc", url)["entries"] == 6
    assert emitted(capfd, "gc", url, "--yes")["entries"] == 6
    assert emitted(capfd, "retention", url)["due"] == []
    with stowfast.sync.open(url) as stores:
        assert [stores.messages.count(name) for name in ("trial/1", "other")] == [4, 10]
        assert list(stores.rules.due()) == []
    emitted(capfd, "retention", url, "messages", "--clear", *target)
    emitted(capfd, "retention", url, "messages", "--clear", *target, code=1)
    assert emitted(capfd, "retention", url)["rules"] == []


@pytest.mark.parametrize(
    "wrong", [("--age", "1d"), ("messages",), ("messages", "--clear", "--count", "1"), ("messages", "--age", "1")]
)
def test_a_rule_without_sense_is_a_wrong_call(wrong: tuple[str, ...], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/one.db"
    stowfast.sync.open(url).close()
    assert run(["retention", url, *wrong]) == 2


def test_times_have_units() -> None:
    assert [duration(text) for text in ("90s", "5m", "12h", "30d", "8w")] == [
        timedelta(seconds=90), timedelta(minutes=5), timedelta(hours=12), timedelta(days=30), timedelta(weeks=8),
    ]  # fmt: skip
    for wrong in ("", "d", "-1d", "1y", "999999999w"):
        with pytest.raises(typer.BadParameter):
            duration(wrong)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=30), "30 days"),
        (timedelta(days=1, hours=12), "1 day 12 hours"),
        (timedelta(minutes=90, seconds=1), "1 hour 30 minutes 1 second"),
        (timedelta(microseconds=1), "1 microsecond"),
        (timedelta(), "0 days"),
    ],
)
def test_a_length_of_time_is_said_exactly(length: timedelta, text: str) -> None:
    assert said(length) == text
