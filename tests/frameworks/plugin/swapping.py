"""A pytest plugin for the frameworks' suites: exceptions with their reasons, and unused URLs.

It runs beside tests of others, whose package may be named `tests` too. So it imports nothing of ours but Stowfast.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from _pytest.runner import runtestprotocol

_TIMED = pytest.StashKey[bool]()
_TRIES = 3


def fresh_url() -> str:
    """Return an unused URL of the backend of this run."""
    url = os.environ["STOWFAST_SUITE_URL"]
    name = os.urandom(16).hex()  # tests of others replace `uuid4`
    match urlsplit(url).scheme:
        case "sqlite":
            return f"sqlite:///{_folder()}/{name}.db"
        case "postgresql":
            return f"{url.partition('?')[0]}?schema=t{name}"
        case "s3":
            place, mark, options = url.partition("?")
            return f"{place}/{name}{mark}{options}"
    return url


def _folder() -> Path:
    if not _folders:
        _folders.append(tempfile.TemporaryDirectory(prefix="stowfast-suite-"))
    return Path(_folders[0].name)


_folders: list[tempfile.TemporaryDirectory[str]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each exception. A name without a test is an error: the suite has changed."""
    exceptions = json.loads(os.environ.get("STOWFAST_SUITE_EXCEPTIONS", "{}"))
    for kind, reasons in exceptions.items():
        for reason, names in reasons.items():
            for name in names:
                # A name without parameters stands for all of them.
                found = [item for item in items if item.nodeid == name or item.nodeid.partition("[")[0] == name]
                if not found:
                    raise pytest.UsageError(f"suite.toml names {name}, which is no test of this suite")
                for item in found:
                    if kind == "timed":
                        item.stash[_TIMED] = True
                    elif kind == "not_run":
                        item.add_marker(pytest.mark.skip(reason=reason))
                    else:
                        item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Try a test whose sleeps tell its result up to three times, and report the last one."""
    if _TIMED not in item.stash:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports: list[pytest.TestReport] = []
    for _ in range(_TRIES):
        item._initrequest()  # type: ignore[attr-defined]
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(one.failed for one in reports):
            break
    for one in reports:
        item.ihook.pytest_runtest_logreport(report=one)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_unconfigure() -> None:
    """Remove the files of the run."""
    for folder in _folders:
        folder.cleanup()
