"""The viewer in a real browser. `python -m tests.browser.pictures` makes the pictures of the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

import stowfast
from stowfast import Artifact
from tests.browser.filled import HOSTILE, fill_hostile, fill_plain
from tests.unit.view.viewer import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Frame, Page


class Reader:
    """A page, with all its requests and complaints."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.page: Page = browser.new_context(**options).new_page()
        self.asked: set[str] = set()
        self.said: list[str] = []
        self.base = address.partition("/?")[0]
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("dialog", lambda dialog: self.said.append(f"a dialog: {dialog.message}"))
        self.page.goto(address)

    def visit(self, path: str) -> None:
        self.page.goto(self.base + path)

    def elsewhere(self) -> set[str]:
        own = (self.base, "data:")
        return {url for url in self.asked if not url.startswith(own)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/agent.db"


@pytest.fixture
def plain(url: str, airline: list[dict[str, Any]], browser: Browser) -> Iterator[Reader]:
    with stowfast.sync.open(url) as stores:
        fill_plain(stores, airline)
    with served(url) as address:
        yield Reader(browser, address)


def links(reader: Reader, selector: str) -> list[str]:
    found: list[str] = reader.page.eval_on_selector_all(selector, "all => all.map(one => one.getAttribute('href'))")
    return found


LOOK = """() => ({
    hit: document.documentElement.dataset.hit ?? null,
    scripts: document.querySelectorAll("script").length,
    foreign: document.querySelectorAll(
        "main :is(script, svg, base, meta, link, img[src^=http], form[action]:not([action^='/']))"
    ).length,
    text: document.body.innerText,
})"""
"""Says if a script ran, counts the elements of hostile strings, and returns the text of the page."""


def test_no_hostile_string_runs_or_reports_the_reader(url: str, browser: Browser) -> None:
    with stowfast.sync.open(url) as stores:
        lists = list(fill_hostile(stores))
    pages = 0
    with served(url) as address:
        reader = Reader(browser, address)
        todo, seen = list(lists), set[str]()
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            reader.visit(path)
            pages += 1
            found = reader.page.evaluate(LOOK)
            assert found["hit"] is None, path
            assert found["scripts"] == 1, path
            assert found["foreign"] == 0, path
            assert not set("\u202e\u2066\u200f\x1b\x07") & set(found["text"]), path
            if urlsplit(path).path in {"/", "/artifacts", "/tasks"}:
                todo += links(reader, ".list a, table a, a[rel=next]")
            elif urlsplit(path).path == "/conversation":
                todo += links(reader, "a[href^='/message']")
        assert reader.elsewhere() == set()
        assert reader.said == []
    assert pages > 8 * len(HOSTILE)
    print(f"{len(HOSTILE)} hostile strings in 12 places, {pages} pages: no script ran, no request left")


def test_a_name_that_points_here_is_refused(url: str, browser: Browser) -> None:
    with stowfast.sync.open(url) as stores:
        stores.messages.add_message("c", {"role": "user", "content": "secret"})
    with served(url) as address:
        parts = urlsplit(address)
        page = browser.new_page()
        answer = page.goto(f"http://evil.example:{parts.port}/?{parts.query}")
        assert answer is not None
        assert answer.status == 421
        assert "secret" not in page.content()


def test_older_messages_come_on_scroll(url: str, browser: Browser) -> None:
    with stowfast.sync.open(url) as stores:
        stores.messages.add_messages("c", [{"role": "user", "content": f"message {n}"} for n in range(130)])
    with served(url) as address:
        reader = Reader(browser, address)
        reader.visit("/conversation?id=c")
        assert reader.page.locator("#chat > li").count() == 50
        # The link loads as soon as it is seen, so it may go before a click: scrolling is enough.
        reader.page.wait_for_function("""() => {
            const link = document.querySelector("[data-older]");
            link?.scrollIntoView();
            return link === null;
        }""")
        texts = [one.strip() for one in reader.page.locator("#chat .text").all_inner_texts()]
    assert texts == [f"message {n}" for n in range(130)]


PATHS = [
    "/",
    "/conversation?id=",
    "/artifacts",
    "/artifact?id=report",
    "/artifact?id=scores",
    "/artifact?id=seats",
    "/tasks",
    "/task?id=booking",
]
PATHS += ["/difference?id=report&from=1&to=2", "/changes?id=booking&from=1&to=2", "/place"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(plain: Reader, browser: Browser, airline: list[dict[str, Any]], scheme: Any) -> None:
    plain.page.emulate_media(color_scheme=scheme)
    for path in PATHS:
        plain.visit(path + (airline[0]["context_id"] if path.endswith("conversation?id=") else ""))
        found = Axe().run(plain.page).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}]
        assert serious == [], path


def test_the_keyboard_is_enough(plain: Reader) -> None:
    plain.page.keyboard.press("Tab")
    assert plain.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    plain.page.focus(".list a")
    plain.page.keyboard.press("Enter")
    plain.page.wait_for_url("**/conversation?id=*")
    summary = plain.page.locator("details.call summary").first
    summary.focus()
    plain.page.keyboard.press("Enter")
    assert plain.page.locator("details.call").first.get_attribute("open") is not None


def test_json_is_a_tree_that_the_keyboard_opens(plain: Reader) -> None:
    plain.visit("/artifact?id=seats")
    tree = plain.page.locator(".preview details")
    assert [tree.nth(n).get_attribute("open") is not None for n in range(4)] == [True, False, False, False]
    assert not plain.page.get_by_text("free").first.is_visible()
    for n in (1, 2):
        tree.nth(n).locator("summary").first.focus()
        plain.page.keyboard.press("Enter")
    assert plain.page.get_by_text("free").first.is_visible()


def test_a_pdf_is_shown_in_a_sandbox(plain: Reader, url: str) -> None:
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    objects.append("<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]>>")
    body = "".join(f"{n} 0 obj{one}endobj\n" for n, one in enumerate(objects, 1))
    content = f"%PDF-1.4\n{body}trailer<</Size 4/Root 1 0 R>>\n%%EOF".encode()
    with stowfast.sync.open(url) as stores:
        stores.artifacts.put(Artifact(artifact_id="paper", content=content, mime_type="application/pdf"))

    def is_shown(frame: Frame) -> bool:  # by the browser's own viewer; a refused one is chrome-error://
        return frame.url.startswith("chrome-extension://")

    with plain.page.expect_event("framenavigated", is_shown):
        plain.visit("/artifact?id=paper")
    policy = plain.page.evaluate("""() => fetch(document.querySelector("iframe").src)
        .then(answer => answer.headers.get("content-security-policy"))""")
    assert policy.startswith("sandbox")


def test_a_narrow_screen_has_no_sideways_scroll(plain: Reader, airline: list[dict[str, Any]]) -> None:
    plain.page.set_viewport_size({"width": 360, "height": 640})
    for path in PATHS:
        plain.visit(path + (airline[0]["context_id"] if path.endswith("conversation?id=") else ""))
        wide = plain.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, path
