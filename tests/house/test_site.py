"""The built site: every page is there as Markdown too, and `llms.txt` lists them all."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None:
        assert not os.environ.get("CI"), "make docs installs mkdocs"
        pytest.skip("mkdocs is not installed: make docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> set[str]:
    return {str(path.relative_to(site).with_suffix(".md")) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_is_there_as_markdown(site: Path) -> None:
    assert len(pages(site)) > 10
    assert [page for page in sorted(pages(site)) if not (site / page).read_text(encoding="utf-8").strip()] == []


def test_a_reference_page_as_markdown_has_the_docstrings(site: Path) -> None:
    text = (site / "reference" / "stowfast.md").read_text(encoding="utf-8")
    assert ":::" not in text
    assert "Open the three stores" in text


def test_llms_txt_lists_every_page_once(site: Path) -> None:
    text = (site / "llms.txt").read_text(encoding="utf-8")
    links = re.findall(r"\]\(https://stowfast\.github\.io/stowfast/([^)]+)\)", text)
    assert sorted(links) == sorted(pages(site))
