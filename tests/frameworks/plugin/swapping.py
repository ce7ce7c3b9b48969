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
                    mark = pytest.mark.xfail(reason=reason, strict=True)
                    item.add_marker(mark if kind == "not_applicable" else pytest.mark.skip(reason=reason))


def pytest_unconfigure() -> None:
    """Remove the files of the run."""
    for folder in _folders:
        folder.cleanup()
