"""The frameworks, and their suites as `<module>/suite.toml` describes them.

The file of a framework:

    title = "OpenAI Agents SDK"
    extra = "openai-agents"                 # empty: no adapter, its storage is a source of an import
    distribution = "openai-agents"          # its version is shown
    whole = { STOWFAST_KILLS = "34" }       # variables of our own tests with --places all or --write, if any

    [[suite]]
    name = "sessions"
    sdist = "openai-agents"                 # pinned in requirements/frameworks/<module>.txt
    files = ["tests/memory/test_session.py"]
    options = ["-k", "not redis"]           # of pytest, if any
    long = true                             # it takes minutes: one backend, and each with --places all
    brief = ["-p", "one_saver"]             # more options, but with --places all or --write

    [suite.not_applicable]                  # each must fail: one that passes is a failure
    "It looks into the tables of SQLite." = ["tests/memory/test_session.py::test_tables"]

    [suite.not_run]                         # cannot even be tried
    "It needs a cloud." = ["tests/memory/test_session.py::test_cloud"]

    [suite.timed]                           # tried up to three times
    "Its sleeps of 10 ms tell its order." = ["tests/memory/test_session.py::test_order"]

    [[on_s3]]                               # work of `s3_work.py`, beside the framework's own store on S3
    stores = { ours = "Stowfast", theirs = "`S3SessionManager`" }
    steps = { turns = "20 turns", load = "load them" }
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MODULES = sorted(path.parent.name for path in FOLDER.glob("*/suite.toml"))


@dataclass(frozen=True)
class Suite:
    """Tests of one source distribution."""

    name: str
    sdist: str
    files: list[str]
    options: list[str] = field(default_factory=list)
    long: bool = False
    not_applicable: dict[str, list[str]] = field(default_factory=dict)
    not_run: dict[str, list[str]] = field(default_factory=dict)
    timed: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """Steps over stores on S3, each in a new process: the names of both, and their titles in the docs."""

    stores: dict[str, str]
    steps: dict[str, str]


@dataclass(frozen=True)
class Framework:
    """One framework, its adapter's module and its suites."""

    module: str
    title: str
    extra: str
    distribution: str
    suites: list[Suite]
    on_s3: list[Work]
    variables: dict[str, str]
    """Of our own tests."""

    @classmethod
    def load(cls, module: str, *, whole: bool = True) -> Framework:
        """Read the file of a framework. Unless it is `whole`, its suites have their `brief` options, too."""
        told: dict[str, Any] = tomllib.loads((FOLDER / module / "suite.toml").read_text(encoding="utf-8"))
        suites = []
        for one in told.pop("suite", []):
            brief = one.pop("brief", [])
            suites.append(Suite(**one) if whole else Suite(**one | {"options": one.get("options", []) + brief}))
        on_s3 = [Work(**one) for one in told.pop("on_s3", [])]
        variables: dict[str, str] = told.pop("whole", {})
        return cls(module=module, suites=suites, on_s3=on_s3, variables=variables if whole else {}, **told)

    @property
    def is_long(self) -> bool:
        return any(suite.long for suite in self.suites)

    @property
    def folder(self) -> Path:
        return FOLDER / self.module
