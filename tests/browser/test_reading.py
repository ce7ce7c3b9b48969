"""A conversation in a real browser: results under their calls as they come, links to messages, and news."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from tests.browser.test_viewer import Reader
from tests.unit.view.viewer import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[stowfast.sync.Stores]:
    with stowfast.sync.open(f"sqlite:///{tmp_path}/agent.db") as found:
        yield found


@pytest.fixture
def reader(stores: stowfast.sync.Stores, tmp_path: Path, browser: Browser) -> Iterator[Reader]:
    with served(f"sqlite:///{tmp_path}/agent.db") as address:
        yield Reader(browser, address)


def say(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(*ids: str) -> dict[str, Any]:
    """A message of the assistant with calls."""
    calls = [{"id": one, "type": "function", "function": {"name": f"tool-{one}", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": "I look", "tool_calls": calls}


def result(id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": text}


def results(*ids: str) -> dict[str, Any]:
    """A message with results alone, as Anthropic has them."""
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": one, "content": f"r-{one}"} for one in ids],
    }


TOLD = "n => document.getElementById('news').textContent.startsWith(`${n} new`)"
SHAPE = """() => [...document.querySelectorAll("#chat > li")].map(row => [row.id,
    [...row.querySelectorAll("details[data-call]")].map(one =>
        [one.dataset.call, [...one.querySelectorAll("pre")].map(text => text.textContent)])])"""
"""Return each row with its calls and lone results, each with its texts."""


def shape(page: Page) -> Any:
    return page.evaluate(SHAPE)


ORDERS: dict[str, list[dict[str, Any]]] = {
    "next message": [say("hi"), call("a"), result("a", "done"), say("thanks")],
    "one message for all": [call("a", "b"), results("a", "b")],
    "other order": [call("a", "b"), result("b", "2"), say("between"), result("a", "1")],
    "one id again": [call("a"), result("a", "1"), call("a"), result("a", "2"), result("a", "3")],
    "result first": [result("a", "early"), say("between"), call("a")],
    "with a text beside": [
        call("a"),
        {"role": "user", "content": [*results("a")["content"], {"type": "text", "text": "x"}]},
    ],
    "no call": [say("hi"), result("z", "lost")],
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_live_page_looks_like_one_loaded_later(order: str, stores: stowfast.sync.Stores, reader: Reader) -> None:
    messages = [say("begin"), *ORDERS[order]]
    stores.messages.add_message("c", messages[0])
    reader.visit("/conversation?id=c")
    for number, message in enumerate(messages[1:], 1):
        stores.messages.add_message("c", message)
        reader.page.wait_for_function(TOLD, arg=number)
    live = shape(reader.page)
    reader.page.reload()
    assert shape(reader.page) == live
    texts = [text for _, found in live for _, inner in found for text in inner]
    for message in messages:
        content = message["content"] if message["role"] == "tool" else ""
        assert texts.count(content) == 1 or not content, (content, live)
    assert reader.said == []


def test_a_live_result_is_folded_under_its_call(stores: stowfast.sync.Stores, reader: Reader) -> None:
    stores.messages.add_messages("c", [say("hi"), call("a", "b")])
    reader.visit("/conversation?id=c")
    stores.messages.add_message("c", results("a", "b"))
    reader.page.wait_for_selector("details.call .answer", state="attached")
    assert shape(reader.page) == [["m0", []], ["m1", [["a", ["{}", "r-a"]], ["b", ["{}", "r-b"]]]]]
    assert reader.page.locator("#m2").count() == 1
    assert reader.page.locator("#m1.new").count() == 1


def test_a_call_that_comes_with_older_messages_takes_its_result(stores: stowfast.sync.Stores, reader: Reader) -> None:
    stores.messages.add_messages("c", [*(say(f"{n}") for n in range(59)), call("a"), result("a", "x")])
    stores.messages.add_messages("c", [say(f"later {n}") for n in range(49)])
    reader.visit("/conversation?id=c")
    assert reader.page.locator("details.result").count() == 1
    reader.page.evaluate("document.querySelector('[data-older]').click()")
    reader.page.wait_for_selector("details.call .answer", state="attached")
    assert reader.page.locator("details.result").count() == 0
    assert reader.page.locator("#m60").count() == 1


def test_a_link_leads_to_an_old_message(stores: stowfast.sync.Stores, reader: Reader) -> None:
    stores.messages.add_messages("c", [say(f"message {n}") for n in range(1_000)])
    in_sight = """n => { const box = document.getElementById("m" + n)?.getBoundingClientRect();
                           return box && box.top >= -1 && box.bottom <= innerHeight + 1; }"""
    for number in (7, 500, 930, 999):
        reader.visit(f"/conversation?id=c#m{number}")
        reader.page.wait_for_function(in_sight, arg=number)
        assert reader.page.locator(f"#m{number}:target").inner_text().count(f"message {number}") == 1
    reader.visit("/conversation?id=c")  # and from one place of a page to another
    reader.page.evaluate("location.hash = 'm300'")
    reader.page.wait_for_function(in_sight, arg=300)
    assert "at=300" in reader.page.url
    reader.page.click("text=Newer messages")
    reader.page.wait_for_selector("text=message 374")
    reader.visit("/conversation?id=c#m5000")  # no such message: the newest are shown, once
    reader.page.wait_for_selector("text=message 999")


def test_a_link_opens_the_call_around_a_folded_result(stores: stowfast.sync.Stores, reader: Reader) -> None:
    stores.messages.add_messages("c", [call("a"), result("a", "the answer"), *(say(f"{n}") for n in range(200))])
    reader.visit("/conversation?id=c#m1")
    reader.page.wait_for_selector("text=the answer")
    assert reader.page.locator("details.call[open]").count() == 1


def test_news_since_the_reader_looked(stores: stowfast.sync.Stores, reader: Reader) -> None:
    stores.messages.add_messages("c", [say(f"message {n}") for n in range(5)])
    reader.visit("/conversation?id=c")
    assert reader.page.locator("#since").count() == 0
    reader.visit("/")
    assert reader.page.locator(".count").count() == 0
    stores.messages.add_messages("c", [say(f"message {n}") for n in range(5, 90)])
    reader.visit("/")
    assert reader.page.locator(".count").inner_text() == "85 new"
    reader.page.click(".list a")
    assert reader.page.locator("#since").inner_text() == "85 new since you looked"
    reader.page.click("#since a")
    reader.page.wait_for_selector("#m5:target")
    reader.visit("/conversation?id=c")
    assert reader.page.locator("#since").count() == 0


def test_a_target_that_comes_just_after_its_link_is_marked(stores: stowfast.sync.Stores, reader: Reader) -> None:
    stores.messages.add_messages("c", [say(f"message {n}") for n in range(200)])
    reader.visit("/conversation?id=c")
    reader.page.evaluate("""location.hash = "m5"; const late = document.createElement("p"); late.id = "m5";
                            late.textContent = "message 5"; document.getElementById("chat").prepend(late);""")
    reader.page.wait_for_selector("#m5:target")
    assert "at=5" not in reader.page.url


def test_the_title_counts_while_another_tab_is_looked_at(stores: stowfast.sync.Stores, reader: Reader) -> None:
    stores.messages.add_message("c", say("hi"))
    reader.page.add_init_script(
        "Object.defineProperty(document, 'hidden', { get: () => window.away ?? false, configurable: true })"
    )
    reader.visit("/conversation?id=c")
    title = reader.page.title()
    look: Callable[[bool], Any] = lambda away: reader.page.evaluate(  # noqa: E731 - a word for both
        f"window.away = {str(away).lower()}; document.dispatchEvent(new Event('visibilitychange'))"
    )
    look(True)
    for number in (1, 2):
        stores.messages.add_message("c", say("news"))
        reader.page.wait_for_function("n => document.title.startsWith(`(${n}) `)", arg=number)
    look(False)
    assert reader.page.title() == title
