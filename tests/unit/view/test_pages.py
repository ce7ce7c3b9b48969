"""The pages of the viewer, asked for without a browser."""

from __future__ import annotations

import asyncio
import html
import json
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, TaskState
from stowfast.abc import Listing, Query, Swept
from stowfast.backends.memory import MemoryBackend
from stowfast.view import place
from stowfast.wrappers import Wrapper
from tests.unit.view.viewer import client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

HOSTILE = '"><script>alert(1)</script>\u202e\x1b[31m/../x?a=b&c#d%2e%2e'


@pytest.fixture
def stores() -> stowfast.Stores:
    return stowfast.Stores(MemoryBackend())


@pytest.fixture
async def reader(stores: stowfast.Stores) -> AsyncIterator[httpx.AsyncClient]:
    async with client(stores) as found:
        yield found


async def text_of(reader: httpx.AsyncClient, path: str, **arguments: Any) -> str:
    answer = await reader.get(path, params=arguments)
    assert answer.status_code == 200, answer.text
    return answer.text


def say(n: int) -> dict[str, Any]:
    return {"role": "user", "content": f"message {n}"}


async def test_an_empty_place_says_what_to_do(reader: httpx.AsyncClient) -> None:
    assert "add_message" in await text_of(reader, "/")
    assert "artifacts.create" in await text_of(reader, "/artifacts")
    assert "tasks.save" in await text_of(reader, "/tasks")
    for path, filtered in ("/", "prefix"), ("/artifacts", "context"), ("/tasks", "status"):
        assert "match this filter" in await text_of(reader, path, **{filtered: "x"})
    assert "Nothing is stored yet" in await text_of(reader, "/place")


async def test_a_place_with_nothing_but_scopes_says_so(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    await stores.within(HOSTILE).messages.add_message("c", say(0))
    assert "But there are scopes, as <bdi>" in await text_of(reader, "/")
    assert "But there are scopes" not in await text_of(reader, "/", prefix="x")
    await stores.messages.add_message("c", say(0))
    assert "But there are scopes" not in await text_of(reader, "/")


async def test_the_backend_has_counts_findings_and_garbage(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    for n in range(3):
        await stores.messages.add_messages(f"c{n}", [say(n), say(n)])
    await stores.artifacts.put(Artifact(artifact_id="report", content="# Done"))
    await stores.tasks.save(TaskState(task_id="t", data={}))
    before = await stores.backend.streams(Query("", heads=True))
    page = " ".join(re.sub("<[^>]*>", " ", await text_of(reader, "/place")).split())
    assert "artifacts 1 1 versions conversations 3 6 messages tasks 1 1 versions" in page
    assert "the newest 8 entries of 5 streams were read" in page
    assert "0 streams, expired or outside the rules of retention 0 blobs without a link" in page
    assert await stores.backend.streams(Query("", heads=True)) == before


async def test_a_slow_backend_has_its_page_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(place, "_SURVEY_SECONDS", 0.0)
    gate, sweeps = asyncio.Event(), 0

    class Slow(Wrapper):
        async def sweep(self, *, dry_run: bool = False) -> Swept:
            nonlocal sweeps
            sweeps += 1
            await gate.wait()
            return Swept(7, 0)

        async def streams(self, query: Query) -> Listing:
            await gate.wait()
            return await super().streams(query)

    stores = stowfast.Stores(Slow(MemoryBackend()))
    async with client(stores) as reader:
        for _ in range(2):  # the second reader waits for the same work
            page = await text_of(reader, "/place")
            assert page.count("goes on: load this page again later") == 2
            assert "0 streams were read, then the 0 s for it were over" in page
        gate.set()
        async with asyncio.timeout(30):
            while "7 streams, expired" not in await text_of(reader, "/place"):
                pass
    assert sweeps == 1


async def test_a_list_has_titles_counts_and_pages(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    for n in range(60):
        metadata = {"title": "named"} if n == 59 else {"user": "ada"} if n == 58 else {}
        await stores.messages.add_messages(f"c{n}", [say(n)], metadata=metadata)
    page = await text_of(reader, "/")
    assert page.count("/conversation?id=") == 50
    assert "named" in page
    assert "message 57" in page
    assert "1 message ·" in page
    after = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = await reader.get(after)
    assert second.text.count("/conversation?id=") == 10
    assert (await text_of(reader, "/", where="user=ada")).count("/conversation?id=") == 1
    refused = await reader.get("/", params={"where": "ada"})
    assert (refused.status_code, "such as user=ada" in refused.text) == (400, True)
    assert (await text_of(reader, "/", prefix="c5")).count("/conversation?id=") == 11


async def test_a_damaged_conversation_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with stowfast.open(f"sqlite:///{path}") as stores:
        for name in ("damaged", "whole"):
            await stores.messages.add_message(name, say(7))
    with closing(sqlite3.connect(path)) as file, file:
        changed = file.execute(
            "UPDATE entries SET data = x'00' WHERE place >> 32 IN (SELECT id FROM streams WHERE name LIKE '%/damaged')"
        )
        assert changed.rowcount == 1
    async with stowfast.open(f"sqlite:///{path}?sweep=false") as stores, client(stores) as reader:
        page = await text_of(reader, "/")
        assert "message 7" in page
        assert page.count("/conversation?id=") == 2
        answer = await reader.get("/conversation", params={"id": "damaged"})
        assert answer.status_code == 500
        assert "damaged" in answer.text


async def test_the_newest_messages_come_first_and_older_ones_in_pages(
    stores: stowfast.Stores, reader: httpx.AsyncClient
) -> None:
    await stores.messages.add_messages("c", [say(n) for n in range(120)])
    page = await text_of(reader, "/conversation", id="c")
    assert [f"message {n}<" in page for n in (69, 70, 119)] == [False, True, True]
    seen, before = set(range(70, 120)), "70"
    while before:
        older = await reader.get("/older", params={"id": "c", "base": 0, "before": before})
        seen |= {n for n in range(120) if f"message {n}<" in older.text}
        before = older.headers["x-older"]
    assert seen == set(range(120))


async def test_a_result_stands_under_its_call(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "book", "arguments": '{"seat": 7}'}}
    answer = {"role": "tool", "tool_call_id": "x", "content": "booked"}
    await stores.messages.add_messages("c", [say(0), {"role": "assistant", "tool_calls": [call]}, answer])
    page = await text_of(reader, "/conversation", id="c")
    assert page.count('<li class="message') == 2
    assert page.index("book") < page.index("Result, message 2") < page.index("booked")


async def test_a_second_result_of_a_call_stays_in_sight(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    answers = [{"role": "tool", "tool_call_id": "x", "content": f"answer {n}"} for n in range(2)]
    await stores.messages.add_messages("c", [{"role": "assistant", "tool_calls": [call]}, *answers])
    page = await text_of(reader, "/conversation", id="c")
    assert page.count('<li class="message') == 2
    assert page.index("Result, message 1") < page.index("answer 0") < page.index('id="m2"') < page.index("answer 1")


async def test_an_assistant_speaks_markdown_and_a_user_plain_text(
    stores: stowfast.Stores, reader: httpx.AsyncClient
) -> None:
    text = "**bold**\nnext <b>x</b> [l](javascript:alert(1)) ![p](http://evil/p.png)"
    long = "**long** " * 200
    said = [{"role": role, "content": one} for role in ("assistant", "user") for one in (text, long)]
    await stores.messages.add_messages("c", said)
    page = await text_of(reader, "/conversation", id="c")
    assert page.count("<strong>bold</strong><br>") == 1
    assert "<strong>long" not in page
    assert page.count("&lt;b&gt;x&lt;/b&gt;") == 2
    assert "<img" not in page
    assert 'href="javascript' not in page


async def test_a_page_says_where_the_reader_is(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    await stores.messages.add_message("c", say(0), metadata={"title": "The title"})
    for path, noun in ("/", "Conversations"), ("/artifacts", "Artifacts"), ("/tasks", "Tasks"), ("/place", "Backend"):
        assert re.findall(r'aria-current="page">(\w+)<', await text_of(reader, path)) == [noun]
    page = await text_of(reader, "/conversation", id="c")
    assert "<h1><bdi>The title</bdi></h1>" in page
    assert '<p class="facts"><bdi>c</bdi> ·' in page


async def test_a_page_around_a_position(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    await stores.messages.add_messages("c", [say(n) for n in range(300)])
    page = await text_of(reader, "/conversation", id="c", at=100)
    assert [f'id="m{n}"' in page for n in (74, 75, 100, 124, 125)] == [False, True, True, True, False]
    assert "data-live" not in page
    newer = html.unescape(page.partition('rel="next" href="')[2].partition('"')[0])
    assert [f'id="m{n}"' in (await reader.get(newer)).text for n in (124, 125, 174, 175)] == [False, True, True, False]
    for at in (299, 280, 5_000):
        page = await text_of(reader, "/conversation", id="c", at=at)
        assert "data-live" in page
        assert 'id="m299"' in page
    await stores.messages.compact("c", keep_last=10, summary={"role": "system", "content": "in short"})
    assert "message 100<" in await text_of(reader, "/conversation", id="c", at=100)


async def test_one_box_finds_conversations(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    for n, (name, user) in enumerate([("support/1", "ada"), ("support/2", "ada b"), ("sales/1", "ada")]):
        metadata: dict[str, Any] = {"user": user, "number": n, "note": f"Über {name}"}
        await stores.messages.add_message(name, {"role": "user", "content": f"Where is parcel {n}?"}, metadata=metadata)

    async def found(typed: str) -> set[str]:
        page = await text_of(reader, "/", q=typed)
        return {html.unescape(id) for id in re.findall(r'<bdi class="id">([^<]*)<', page)}

    assert await found("") == {"support/1", "support/2", "sales/1"}  # their titles are known from now on
    assert await found("support/") == {"support/1", "support/2"}
    assert await found("user=ada") == {"support/1", "sales/1"}
    assert await found("sup user=ada") == {"support/1"}
    assert await found('user="ada b"') == {"support/2"}
    assert await found("number=2") == {"sales/1"}
    assert await found("über sales") == {"sales/1"}
    assert await found("parcel 1") == {"support/2"}
    assert await found("/1 user=ada") == {"support/1", "sales/1"}
    assert await found("nowhere") == set()
    assert "Of the 3 conversations that changed last" in await text_of(reader, "/", q="nowhere")


async def test_forks_and_tasks_of_a_conversation(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    await stores.messages.add_messages(HOSTILE, [say(n) for n in range(5)])
    await stores.messages.fork(HOSTILE, "fork", at=3)
    await stores.messages.set_metadata("fork", {"forked_from": HOSTILE, "forked_at": 3})
    await stores.tasks.save(TaskState(task_id="t", context_id=HOSTILE, data={}))
    await stores.tasks.save(TaskState(task_id="u", data={}))

    async def follow(page: str, text: str) -> str:
        address = re.findall(r'href="([^"]*)"[^>]*>(?:<bdi>)?' + text, page)[0]
        return (await reader.get(html.unescape(address))).text

    page = await text_of(reader, "/conversation", id=HOSTILE)
    assert (await follow(page, "its forks")).count("<li data-next") == 1
    assert ">t<" in await follow(page, "its tasks")
    assert ">u<" not in await follow(page, "its tasks")
    fork = await text_of(reader, "/conversation", id="fork")
    assert 'id="m4"' in await follow(fork, "&#34;&gt;&lt;script")
    assert "Forked from" not in page


async def test_a_summary_and_its_originals(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    await stores.messages.add_messages("c", [say(n) for n in range(10)])
    await stores.messages.compact("c", keep_last=2, summary={"role": "system", "content": "in short"})
    page = await text_of(reader, "/conversation", id="c")
    assert "in short" in page
    assert "message 3" not in page
    assert "message 3" in await text_of(reader, "/conversation", id="c", originals=1)


async def test_any_two_versions_are_compared_by_a_form(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    name = 'a\u202e&"x\x1b'
    state = TaskState(task_id=name, data={"n": 0})
    for n in range(5):
        state.data = {"n": n}
        state = await stores.tasks.save(state)
        await stores.artifacts.put(Artifact(artifact_id=name, content=f"text {n}", mime_type="text/plain"))
    for page, form in ("/task", "/changes"), ("/artifact", "/difference"):
        text = (await text_of(reader, page, id=name)).partition(f'action="{form}"')[2]
        fields = dict(re.findall(r'name="(\w+)" .*?value="([^"]*)"', text.partition("</form>")[0]))
        assert fields == {"id": "a\u202e&amp;&#34;x\x1b", "from": "1", "to": "5"}
        compared = await text_of(reader, form, **{**fields, "id": html.unescape(fields["id"]), "to": "4"})
        assert ("text 3" if form == "/difference" else "/n") in compared
        assert "\u202e" not in compared


async def test_a_message_as_json(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    await stores.messages.add_message("c", say(7))
    assert "&#34;content&#34;: &#34;message 7&#34;" in await text_of(reader, "/message", id="c", position=0)
    assert (await reader.get("/message", params={"id": "c", "position": 1})).status_code == 404


async def test_new_messages_come_as_events_in_order(stores: stowfast.Stores) -> None:
    from stowfast.view.conversations import _Conversations
    from stowfast.view.pages import Site

    await stores.messages.add_messages("c", [say(0), {"role": "user", "content": "a\rb\n\ndata: forged"}])
    feed = _Conversations(Site(stores, "memory:"))._feed("c", -1)
    assert (await anext(feed)).startswith("retry:")
    found = [await anext(feed), await anext(feed)]
    await stores.messages.add_message("c", say(2))
    found.append(await anext(feed))
    await feed.aclose()  # type: ignore[attr-defined]
    for position, event in enumerate(found):
        lines = event.split("\n")
        assert lines[0] == f"id: {position}"
        assert lines[2:] == ["", ""]
        assert "\r" not in event
        assert f'id="m{position}"' in json.loads(lines[1].removeprefix("data: "))


async def test_artifacts_their_versions_and_difference(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    for text in ("one\ntwo", "one\nthree"):
        await stores.artifacts.put(Artifact(artifact_id="a/b", context_id="c", content=text, mime_type="text/plain"))
    assert "a/b" in await text_of(reader, "/artifacts", context="c")
    page = await text_of(reader, "/artifact", id="a/b", version=1)
    assert "two" in page
    assert "Changes from version 1" in page
    changes = await text_of(reader, "/difference", id="a/b", **{"from": 1, "to": 2})
    assert '"minus">-two' in changes
    assert '"plus">+three' in changes


@pytest.mark.parametrize(
    ("mime", "content", "shown"),
    [
        ("text/markdown", "# Head\n<b>x</b> [l](javascript:alert(1)) ![p](http://evil/p.png)", "<h1>Head</h1>"),
        ("image/svg+xml", "<svg onload=alert(1)>", "&lt;svg onload=alert(1)&gt;"),
        ("text/html", "<script>alert(1)</script>", "&lt;script&gt;alert(1)"),
        ("image/png", b"\x89PNG", '<img alt="Preview'),
        ("application/pdf", b"%PDF", "<iframe"),
        ("application/octet-stream", b"\xff\xfe\x00", "no preview"),
        ("application/json", '{"a": [1]}', '<bdi class="key">a</bdi>: <details><summary>1 item</summary>'),
        ("application/json", '{"a": [1', "{&#34;a&#34;: [1"),
        ("application/json", '"<b>x</b>"', "&#34;&lt;b&gt;"),
        ("application/json", json.dumps(["x"] * 6_000), "<pre"),
        ("application/json", "[" * 200 + "]" * 200, "<pre"),
        ("application/json", "[" * 30 + '"in"' + "]" * 30, "&#34;in&#34;"),
    ],
)
async def test_a_preview_of_each_kind(
    stores: stowfast.Stores, reader: httpx.AsyncClient, mime: str, content: str | bytes, shown: str
) -> None:
    await stores.artifacts.create(Artifact(artifact_id="a", content=content, mime_type=mime))
    page = await text_of(reader, "/artifact", id="a")
    assert shown in page
    assert "<b>x</b>" not in page
    assert 'javascript:alert(1)"' not in page
    assert 'evil/p.png"' not in page.replace('href="http://evil/p.png"', "")
    answer = await reader.get("/content", params={"id": "a"})
    inline = mime in {"image/png", "application/pdf"}
    assert answer.headers["content-disposition"].startswith("inline" if inline else "attachment")
    assert answer.headers["content-type"] == (mime if inline else "application/octet-stream")
    assert answer.headers.get_list("content-security-policy")[0] == "sandbox"
    assert answer.content == (content.encode() if isinstance(content, str) else content)


async def test_a_dataset_is_a_table_in_pages(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    async with stores.artifacts.open_dataset("d", columns={"n": "integer"}) as dataset:
        await dataset.append([{"n": n} for n in range(250)])
    page = await text_of(reader, "/artifact", id="d")
    assert "<td><bdi>99</bdi></td>" in page
    assert "<td><bdi>100</bdi></td>" not in page
    assert "<td><bdi>249</bdi></td>" in await text_of(reader, "/artifact", id="d", row=200)


async def test_a_task_with_its_steps_lease_parts_and_versions(
    stores: stowfast.Stores, reader: httpx.AsyncClient
) -> None:
    state = await stores.tasks.save(TaskState(task_id="t", data={"step": 1}))
    state.data["step"] = 2
    await stores.tasks.save(state)
    await stores.tasks.record("t", "mail", {"sent": True})
    await stores.tasks.claim("t", "worker", timedelta(minutes=1))
    await stores.tasks.save(TaskState(task_id="part", parent_task_id="t", status="completed", data={}))
    page = await text_of(reader, "/task", id="t")
    assert re.search(r"Recorded since version 2, in the last \d+ ms", page)
    for words in ("mail", "worker", "part", "replace /step", "Version 1", "Version 2"):
        assert words in page, words
    assert "replace" in await text_of(reader, "/changes", id="t", **{"from": 1, "to": 2})
    assert ">t<" in await text_of(reader, "/tasks")
    assert ">part<" not in await text_of(reader, "/tasks", status="working")


async def test_a_hostile_id_works_everywhere(stores: stowfast.Stores, reader: httpx.AsyncClient) -> None:
    await stores.messages.add_message(HOSTILE, {"role": HOSTILE, "name": HOSTILE, "content": HOSTILE})
    await stores.artifacts.create(Artifact(artifact_id=HOSTILE, name=HOSTILE, content=HOSTILE, mime_type="text/plain"))
    await stores.tasks.save(TaskState(task_id=HOSTILE, status="working", data={HOSTILE: HOSTILE}))
    for list_page, one in (("/", "/conversation"), ("/artifacts", "/artifact"), ("/tasks", "/task")):
        page = await text_of(reader, list_page)
        address = page.partition(f'href="{one}?')[2].partition('"')[0].replace("&amp;", "&")
        shown = (await reader.get(f"{one}?{address}")).text
        for found in (page, shown):
            assert "&lt;script&gt;" in found
            assert "<script>" not in found
            assert "\u202e" not in found
            assert "\x1b" not in found


@pytest.mark.parametrize(
    "path",
    [
        *("/conversation", "/conversation?id=x", "/message?id=x", "/message?id=x&position=y", "/artifact?id=x"),
        *("/artifact?id=x&version=99999999999999999999", "/content?id=x", "/task?id=x", "/static/../app.py"),
        *("/difference?id=x&from=1&to=2", "/changes?id=x&from=1&to=2", "/?after=nonsense", "/static/x", "/%00"),
    ],
)
async def test_a_wrong_address_is_an_error_page(reader: httpx.AsyncClient, path: str) -> None:
    answer = await reader.get(path)
    assert answer.status_code in {400, 404}
    assert "Traceback" not in answer.text
