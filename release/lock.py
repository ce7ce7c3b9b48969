"""The lock files as data: each pinned package, its hashes, and the packages that need it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TEST_LOCK = ROOT / "requirements" / "test.txt"  # the one that holds the packages of every extra


class Pin(NamedTuple):
    """One version of one package. `text` is its block of the lock, as pip reads it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    needed_by: frozenset[str]
    text: str


def pins(lock: Path = TEST_LOCK) -> list[Pin]:
    """Return all pins of a lock, in its order."""
    blocks = re.split(r"^(?=[a-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [_pin(block) for block in blocks]


def _pin(block: str) -> Pin:
    head = re.match(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\\n]+))?", block)
    assert head, block
    comments = block.partition("# via")[2].replace("#", " ")
    return Pin(
        head["name"],
        head["version"],
        (head["marker"] or "").strip(),
        tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block)),
        frozenset(re.findall(r"^\s*([a-z0-9][\w.-]*)\s*$", comments, re.MULTILINE)),
        block,
    )


def extras() -> dict[str, list[str]]:
    """Return the packages that each extra adds, and `core`, the packages of a plain installation."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"core": [], **project["optional-dependencies"]}
    return {extra: [_name(line) for line in (*project["dependencies"], *lines)] for extra, lines in wanted.items()}


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def closure(names: list[str], among: list[Pin]) -> list[Pin]:
    """Return the pins of some packages and of all that they need."""
    found = set(names)
    while more := {pin.name for pin in among if pin.needed_by & found} - found:
        found |= more
    return [pin for pin in among if pin.name in found]
