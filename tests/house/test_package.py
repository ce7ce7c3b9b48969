"""The package as people get it: built, checked, installed into a fresh environment, and its own tests run from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

from release.lock import closure, extras, pins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

CLAUSES = """
import asyncio, contextlib, pathlib, sys
import stowfast
from stowfast import Stores, testing
from stowfast.backends.memory import MemoryBackend
from stowfast.wrappers import Shared

async def failures(clauses, face):
    found = []
    for clause in clauses:
        backend = MemoryBackend()

        @contextlib.asynccontextmanager
        async def make():
            yield face(Shared(backend))

        found += [result for result in await testing.run([clause], make) if not result.passed]
    return found

assert pathlib.Path(stowfast.__file__).is_relative_to(sys.prefix), stowfast.__file__
failed = [
    *asyncio.run(failures(testing.BACKEND, lambda backend: backend)),
    *asyncio.run(failures(testing.STORES, Stores)),
]
for result in failed:
    print(result.name, repr(result.error), file=sys.stderr)
sys.exit(bool(failed))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


def only(folder: Path, pattern: str) -> Path:
    [found] = folder.glob(pattern)
    return found


def test_an_index_takes_what_is_built(dist: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())


def test_the_readme_of_the_wheel_has_no_relative_link(dist: Path) -> None:
    with ZipFile(only(dist, "*.whl")) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(wheel.read(name))
    links = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert len(links) > 10
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert {line.partition(",")[0] for line in metadata.get_all("Project-URL", [])} == set(PROJECT["urls"])


def python_of(version: str) -> str | None:
    """Return a working interpreter of this version, or None."""
    if version == RUNNING:
        return sys.executable
    found = shutil.which(f"python{version}")
    if not found:
        return None
    # A pyenv shim is on PATH for each version that is installed, and runs once the version is chosen.
    asked = [found, "-c", "import sys; print(sys.executable)"]
    done = subprocess.run(
        asked, env={**os.environ, "PYENV_VERSION": version}, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def environment(version: str, python: str, folder: Path) -> Path:
    """Make a virtual environment with the dependencies, and return its interpreter."""
    run(python, "-m", "venv", folder)
    made = folder / "bin" / "python"
    if version == RUNNING:  # no index is needed: what the tests themselves run on
        purelib = run(made, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        present = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (Path(purelib) / "present.pth").write_text("\n".join(sorted(present)), encoding="utf-8")
        return made
    names = [name for extra in ("schema", "diff") for name in extras()[extra]]
    lock = folder / "requirements.txt"
    lock.write_text("".join(pin.text for pin in closure(names, pins())), encoding="utf-8")
    install = [made, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--require-hashes", "-r", lock]
    done = subprocess.run([*map(str, install)], capture_output=True, text=True, timeout=280, check=False)
    if done.returncode != 0:
        pytest.skip(f"the dependencies for Python {version} cannot be installed here: {done.stderr[-300:]}")
    return made


@pytest.mark.parametrize(
    "version", [pytest.param(one, marks=[pytest.mark.soak] if one != RUNNING else []) for one in PYTHONS]
)
def test_the_wheel_keeps_the_memory_clauses(version: str, dist: Path, tmp_path: Path) -> None:
    python = python_of(version)
    if python is None:
        pytest.skip(f"no Python {version} on PATH")
    made = environment(version, python, tmp_path / "env")
    run(made, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", only(dist, "*.whl"))
    run(made, "-c", CLAUSES, PYTHONPATH="")


def test_the_sdist_runs_its_own_tests(dist: Path, tmp_path: Path) -> None:
    with tarfile.open(only(dist, "*.tar.gz")) as sdist:
        sdist.extractall(tmp_path, filter="data")
    folder = only(tmp_path, "stowfast-*")
    tests = folder / "tests"
    chosen = [
        tests / "house" / "test_exports.py",
        tests / "house" / "test_face.py",
        tests / "unit/stores/test_codec.py",
    ]
    options: list[str | Path] = ["-q", "-p", "no:cacheprovider", "--rootdir", folder, "-c", folder / "pyproject.toml"]
    out = run(sys.executable, "-m", "pytest", *options, *chosen, PYTHONPATH=str(folder / "src"))
    assert " passed" in out
