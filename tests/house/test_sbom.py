"""The SBOM of each extra: valid CycloneDX, with the pinned packages of the lock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from release.lock import extras

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sbom")
    command = [sys.executable, "-m", "release.sbom", str(made)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return made


def test_each_extra_has_one(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {f"{extra}.cdx.json" for extra in extras()}


def test_it_is_valid_cyclonedx(folder: Path) -> None:
    script = (
        "import pathlib, sys; from cyclonedx.schema import SchemaVersion; "
        "from cyclonedx.validation.json import JsonStrictValidator; "
        "print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(pathlib.Path(sys.argv[1]).read_text()))"
    )
    command = [sys.executable, "-c", script, str(folder / "aws.cdx.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stdout + done.stderr


def test_it_names_every_package_with_its_hashes(folder: Path) -> None:
    written = json.loads((folder / "aws.cdx.json").read_text(encoding="utf-8"))
    found = {component["name"]: component for component in written["components"]}
    assert {"msgspec", "backports-zstd", "obstore", "boto3", "botocore", "urllib3"} <= set(found)
    assert "pytest" not in found
    assert all(component["version"] and component["hashes"] for component in found.values())
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in written["dependencies"]}
    assert any(ref.startswith("pkg:pypi/botocore@") for ref in needs[found["boto3"]["bom-ref"]])
