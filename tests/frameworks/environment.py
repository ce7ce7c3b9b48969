"""An environment of its own for each framework: frameworks disagree about versions, and none is needed elsewhere."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.shared import locked

if TYPE_CHECKING:
    from tests.frameworks.suites import Framework

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".frameworks"


class Environment:
    """`.frameworks/<module>`, installed by the hashes of its lock file."""

    def __init__(self, framework: Framework) -> None:
        self.framework = framework
        self.folder = ENVIRONMENTS / framework.module
        self.python = self.folder / "bin" / "python"
        self.lock = ROOT / "requirements" / "frameworks" / f"{framework.module}.txt"

    def make(self) -> None:
        """Install the packages of the lock file, unless they are installed."""
        ENVIRONMENTS.mkdir(exist_ok=True)
        with locked(ENVIRONMENTS / f"{self.framework.module}.lock"):
            self._make()

    def _make(self) -> None:
        digest = hashlib.sha256(self.lock.read_bytes()).hexdigest()
        mark = self.folder / "installed"
        if mark.exists() and mark.read_text(encoding="utf-8") == digest:
            return
        self._run(sys.executable, "-m", "venv", "--clear", str(self.folder))
        self._pip("install", "--only-binary", ":all:", "--require-hashes", "--requirement", str(self.lock))
        with locked(ENVIRONMENTS / "editable.lock"):
            self._pip("install", "--no-deps", "--no-index", "--no-build-isolation", "--editable", str(ROOT))
        mark.write_text(digest, encoding="utf-8")

    def source_of(self, distribution: str) -> Path:
        """Return the unpacked source distribution, fetched from the package index and checked by its hash."""
        with locked(ENVIRONMENTS / f"{self.framework.module}.lock"):
            return self._source_of(distribution)

    def _source_of(self, distribution: str) -> Path:
        pin = self._pin(distribution)
        version = self.version_of(distribution)
        target = self.folder / "sources" / f"{distribution}-{version}"
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            one = target.parent / f"{target.name}.txt"
            one.write_text(pin, encoding="utf-8")
            # Without isolation: its build backend is in the lock file, too.
            self._pip(
                *("download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"),
                *("--require-hashes", "--requirement", str(one), "--dest", str(target.parent)),
            )
            (archive,) = target.parent.glob(f"{re.sub('[-_.]+', '[-_.]', distribution)}-{version}.tar.gz")
            unfinished = target.parent / f"{target.name}.new"
            with tarfile.open(archive) as source:
                source.extractall(unfinished, filter="data")
            (inner,) = unfinished.iterdir()
            inner.rename(target)
            unfinished.rmdir()
        return target

    def version_of(self, distribution: str) -> str:
        """Return the version in the lock file."""
        found = re.match(r"\S+?==(\S+)", self._pin(distribution))
        assert found is not None
        return found[1]

    def _pin(self, distribution: str) -> str:
        text = self.lock.read_text(encoding="utf-8")
        found = re.search(rf"^{re.escape(distribution)}(\[[^\]]*\])?==.*\n(?:    --hash.*\n)+", text, re.MULTILINE)
        assert found is not None, f"{self.lock.name} pins no {distribution}"
        return found[0]

    def _pip(self, *arguments: str) -> None:
        self._run(str(self.python), "-m", "pip", "--quiet", *arguments)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=1200, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
