"""One run of tests in the environment of a framework."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.etree import ElementTree

from tests.frameworks.environment import ROOT
from tests.frameworks.results import Result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.frameworks.environment import Environment
    from tests.frameworks.suites import Suite

LONGEST_RUN: Final = 900
"""Seconds. A longer run hangs."""
_SHOWN_CHARACTERS: Final = 9_000


def types(environment: Environment) -> Result:
    """Check the adapter and its tests with mypy --strict, beside the framework."""
    environment.make()
    module = environment.framework.module
    adapter = ROOT / "src" / "stowfast" / "adapters" / module
    # Files by name: the project's own configuration leaves these folders out.
    sources = [one for one in (adapter.with_suffix(".py"), *adapter.rglob("*.py")) if one.is_file()]
    sources += environment.framework.folder.rglob("*.py")
    command = [str(environment.python), "-m", "mypy", "--cache-dir", str(environment.folder / "types")]
    ran = _run([*command, *map(str, sources)], ROOT, {"MYPYPATH": "src:tests/frameworks/plugin"})
    return _result(environment, "types", "", ran)


def ours(environment: Environment, places: tuple[str, ...]) -> Result:
    """Run the tests of the adapter."""
    environment.make()
    framework = environment.framework
    changes = {"STOWFAST_FRAMEWORK": framework.module, "STOWFAST_PLACES": " ".join(places), **framework.variables}
    return _pytest(environment, "Stowfast's own tests", "", [str(environment.framework.folder)], ROOT, changes)


def theirs(environment: Environment, suite: Suite, place: str, url: str) -> Result:
    """Run a suite of the framework with Stowfast in the place of the framework's own store."""
    environment.make()
    source, here = environment.source_of(suite.sdist), environment.framework.folder
    exceptions = {"not_applicable": suite.not_applicable, "not_run": suite.not_run, "timed": suite.timed}
    changes = {
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent / "plugin")]),
        "STOWFAST_SUITE_URL": url,
        "STOWFAST_SUITE_EXCEPTIONS": json.dumps(exceptions),
    }
    options = ["-p", "swapping", "-p", "swap", "-p", "no:cacheprovider", "--rootdir", str(source), *suite.options]
    return _pytest(environment, suite.name, place, [*options, *suite.files], source, changes)


def _pytest(
    environment: Environment, name: str, place: str, options: list[str], folder: Path, changes: dict[str, str]
) -> Result:
    report = environment.folder / f"{name.replace(' ', '-')}-{place}.xml"
    report.unlink(missing_ok=True)
    command = [str(environment.python), "-m", "pytest", "-q", "--junitxml", str(report), *options]
    ran = _run(command, folder, changes)
    if ran.code not in {0, 1} or not report.exists():
        return _result(environment, name, place, ran)
    passed, failed = 0, []
    reasons: dict[str, int] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = {child.tag: child for child in case}
        if "failure" in outcome or "error" in outcome:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif (skipped := outcome.get("skipped")) is not None:
            reason = skipped.get("message") or ""
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            passed += 1
    output, version = ran.output if failed else "", _version(environment)
    return Result(version, environment.framework.title, name, place, passed, failed, reasons, output, ran.seconds)


def _version(environment: Environment) -> str:
    return environment.version_of(environment.framework.distribution)


def _result(environment: Environment, name: str, place: str, ran: _Ran) -> Result:
    """Return the result of a run without a report."""
    passed, failed = (1, []) if ran.code == 0 else (0, [name])
    title, output = environment.framework.title, ran.output if failed else ""
    return Result(_version(environment), title, name, place, passed, failed, {}, output, ran.seconds)


class _Ran(NamedTuple):
    """The end of a process."""

    code: int | None
    """None: it ran too long."""
    output: str
    seconds: float


def _run(command: list[str], folder: Path, changes: dict[str, str]) -> _Ran:
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | changes, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=LONGEST_RUN)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            code = None
    return _Ran(code, output[-_SHOWN_CHARACTERS:], time.monotonic() - began)
