"""The committed files hold no address of one machine or of one package index."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD_NAME = "hold" + "fast"  # in two parts, so that this file does not hold it
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# Written so that this file does not hold what it looks for.
FOREIGN = {
    "the address of a package index": re.compile(r"://[^/\s\"']*p[y]p|://[^/\s\"']*p[y]thonhosted|://registry[.]"),
    "a folder of one machine": re.compile(r"(?<![\w.~$}/-])/(?:root|work|Users)/[\w.]"),
}


def committed() -> list[Path]:
    # safe.directory: whoever made the clone need not be who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: nothing says which files are committed")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_one_machine_or_one_index() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {what}"
        for path in committed()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        for what, pattern in FOREIGN.items()
        if pattern.search(line) or (what.startswith("a folder") and f"{ROOT}/" in line)
    ]
    assert found == []


def test_the_old_name_stands_nowhere() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in committed()
        if OLD_NAME in str(path.relative_to(ROOT)).lower() or OLD_NAME.encode() in path.read_bytes().lower()
    ]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_holds_names_versions_and_hashes_alone(lock: Path) -> None:
    pinned = re.compile(r"[a-z0-9.-]+==[\w.+!]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_no_example_stands_in_the_way_of_a_package() -> None:
    """Python looks beside the script first: `llama_index.py` would be imported in the place of LlamaIndex."""
    examples, imported = sorted((ROOT / "examples" / "frameworks").glob("*.py")), set[str]()
    for example in examples:
        for node in ast.walk(ast.parse(example.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    assert [one.name for one in examples if one.stem in imported] == []
