"""The built site: every page is there as Markdown too, and `llms.txt` lists them all."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from tests.house import reference

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def is_new(built: Path) -> bool:
    """Tell whether `make docs` has built the site from the files as they are."""
    sources = [ROOT / name for name in ("mkdocs.yml", "README.md", "CHANGELOG.md")]
    for folder in ("docs", "examples", "release", "src"):
        # A build of the package writes the folder `src/stowfast.egg-info`, and an import writes compiled files.
        paths = (path for path in (ROOT / folder).rglob("*.*") if path.parent.suffix != ".egg-info")
        sources += [path for path in paths if path.is_file() and path.suffix != ".pyc"]
    return built.is_file() and built.stat().st_mtime > max(path.stat().st_mtime for path in sources)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None:
        assert not os.environ.get("CI"), "make docs installs mkdocs"
        pytest.skip("mkdocs is not installed: make docs")
    if is_new(ROOT / "site" / "index.html"):
        return ROOT / "site"
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
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
    assert "Open the stores on the backend" in text


class Article(HTMLParser):
    """The headings and the code of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.code: list[str] = []
        self._into: list[str] | None = None
        self.feed(text[text.index("<article") : text.index("</article")])

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "pre" or re.fullmatch("h[1-6]", tag):
            self._into = self.code if tag == "pre" else self.headings
            self._into.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre" or re.fullmatch("h[1-6]", tag):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


WRITTEN = sorted(page for page in (ROOT / "docs").rglob("*.md") if ":::" not in page.read_text(encoding="utf-8"))


SNIPPET = re.compile(r'^--8<-- "(.+)"\n', re.MULTILINE)
"""A line that shows a file: a recipe."""


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_a_page_shows_each_heading_and_each_fence(site: Path, page: Path) -> None:
    text = SNIPPET.sub(lambda found: (ROOT / found[1]).read_text(encoding="utf-8"), page.read_text(encoding="utf-8"))
    shown = Article((site / page.relative_to(ROOT / "docs").with_suffix(".html")).read_text(encoding="utf-8"))
    tokens = MarkdownIt().enable("table").parse(text)
    fences = [token.content.strip() for token in tokens if token.type == "fence"]
    assert [one for one in fences if one not in [code.strip() for code in shown.code]] == []
    assert len(shown.headings) == sum(token.type == "heading_open" for token in tokens)


def test_the_reference_has_an_entry_for_each_public_name(site: Path) -> None:
    texts = (page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    entries = {entry for text in texts for entry in re.findall(r'id="(stowfast\.[^"]+)"', text)}
    public = {name for name, _ in reference.loaded()} | set(reference.of_adapters())
    assert len(public) > 900
    assert sorted(public - entries) == []
    last = {entry.rpartition(".")[2] for entry in entries}
    assert sorted(reference.returned(reference.loaded()) - last) == []


def test_the_navigation_follows_the_links_of_the_index_pages(site: Path) -> None:
    links = re.findall(r'<a href="([^"]+)" class="md-nav__link', (site / "index.html").read_text(encoding="utf-8"))
    sections = list(dict.fromkeys(link.split("/")[0] for link in links if not link.startswith(("#", "index.html"))))
    assert sections == [
        "quickstart.html", "guides", "frameworks", "recipes", "operations", "reference", "design",
    ]  # fmt: skip
    assert [link for link in links if link.startswith("guides/")][:3] == [
        "guides/index.html", "guides/messages.html", "guides/artifacts.html",
    ]  # fmt: skip


def test_llms_txt_lists_every_page_once(site: Path) -> None:
    text = (site / "llms.txt").read_text(encoding="utf-8")
    links = re.findall(r"\]\(https://stowfast\.github\.io/stowfast/([^)]+)\)", text)
    assert sorted(links) == sorted(pages(site))


def test_the_site_can_be_read_from_a_folder_without_a_network(site: Path, browser: Browser) -> None:
    reader, asked = browser.new_page(viewport={"width": 1300, "height": 900}), set[str]()
    reader.on("request", lambda request: asked.add(request.url))
    for name in sorted(pages(site)):
        reader.goto((site / name).with_suffix(".html").as_uri())
        cut = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText)"
        assert reader.eval_on_selector_all("pre > code", cut) == [], name
    reader.goto((site / "index.html").as_uri())
    # The theme looks at the box when a key is let go, so the word is typed. `fill` presses no key.
    reader.locator(".md-search__input").press_sequentially("lease")
    reader.locator(".md-search-result__item", has_text="An agent with leases").first.wait_for()
    assert {url for url in asked if not url.startswith(("file:", "data:", "blob:"))} == set()
    reader.close()


def test_each_recipe_has_its_page() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "examples" / "recipes").glob("*.py")}
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "recipes").glob("*.md")]
    assert {name for text in pages for name in SNIPPET.findall(text)} == files
