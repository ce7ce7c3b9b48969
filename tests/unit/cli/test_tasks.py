"""The commands for tasks: their owners, the changes of every version, and a rewind only with its flag."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowfast import Lease, TaskState, sync
from stowfast.cli import main
from stowfast.cli.show.changes import changes, steps_of
from stowfast.cli.terminal import brief, span
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Call: TypeAlias = Callable[..., tuple[int, str, str]]

STOWFAST = [sys.executable, "-m", "stowfast.cli.main"]
URL = "sqlite:///agent.db"
STATES: list[tuple[str, dict[str, Any]]] = [
    ("working", {"step": 0, "messages": [], "plan": [{"what": "search"}, {"what": "write"}]}),
    ("working", {"step": 1, "messages": ["hi"], "plan": [{"what": "search", "done": True}, {"what": "write"}]}),
    ("input-required", {"step": 1, "messages": ["hi", "Paris?"], "plan": [], "question": "Which Paris, do you think?"}),
    ("working", {"step": 2, "messages": ["hi", "Paris?", "in France"], "plan": []}),
    ("completed", {"step": 3, "messages": ["hi", "Paris?", "in France", "done"], "plan": []}),
]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.run(["tasks", *arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def tasks(call: Call) -> None:
    """A task with five versions, a leased one, one after its lease, and a child of another."""
    with sync.open(URL) as stores:
        for status, data in STATES:
            stores.tasks.save(TaskState(task_id="trip", context_id="c1", agent_id="planner", status=status, data=data))
        stores.tasks.save(TaskState(task_id="held", context_id="c2", parent_task_id="trip", data={"step": 7}))
        lease = stores.tasks.claim("held", "worker-3", timedelta(hours=2))
        stores.tasks.record("held", "charge", {"id": "ch_1"}, lease=lease)
        stores.tasks.save(TaskState(task_id="stale", data=[1, 2]))
        stores.tasks.claim("stale", "worker-1", timedelta(microseconds=1))


def loaded(task_id: str) -> TaskState:
    with sync.open(URL) as stores:
        state = stores.tasks.load(task_id)
    assert state is not None
    return state


def lease_of(task_id: str) -> Lease:
    lease = loaded(task_id).lease
    assert lease is not None
    return lease


def saved_at(task_id: str) -> datetime:
    moment = loaded(task_id).updated_at
    assert moment is not None
    return moment


def fits(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


def words(text: str) -> str:
    return " ".join(text.split())


# --- ls


def test_ls_says_who_holds_what(tasks: None, call: Call) -> None:
    code, out, err = call("ls", URL)
    assert (code, err) == (0, "")
    assert fits(out)
    until = lease_of("held").expires_at.astimezone()
    today = until.date() == datetime.now().astimezone().date()
    held = f"{until:%H:%M:%S} worker-3" if today else f"{until:%m-%d %H:%M} worker-3"
    header, *rows = out.splitlines()
    assert header.split() == ["task", "version", "updated", "status", "held", "until"]
    assert [row.split()[0] for row in rows] == ["stale", "held", "trip"]
    assert rows[0].rstrip().endswith("working    over: worker-1")
    assert rows[1].rstrip().endswith(f"working    {held}")
    assert rows[2].rstrip().endswith("completed")
    assert " 5  " in rows[2]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--status", "working"], ["stale", "held"]),
        (["--context", "c1"], ["trip"]),
        (["--agent", "planner"], ["trip"]),
        (["--parent", "trip"], ["held"]),
        (["--status", "working", "--context", "c1"], []),
        (["--since", "1h"], ["stale", "held", "trip"]),
        (["--since", "2020-01-31"], ["stale", "held", "trip"]),
        (["--since", "2999-01-31T09:00+02:00"], []),
        (["--limit", "2"], ["stale", "held"]),
    ],
)
def test_ls_narrows_down(filters: list[str], found: list[str], tasks: None, call: Call) -> None:
    code, out, err = call("ls", URL, "--json", *filters)
    assert (code, err) == (0, "")
    page = json.loads(out)
    assert [one["task_id"] for one in page["tasks"]] == found
    assert (page["next"] is None) == ("--limit" not in filters)
    shown = call("ls", URL, *filters)[1]
    assert [name for name in ("stale", "held", "trip") if name in shown.replace("held until", "")] == found
    assert found or shown == "no tasks\n"


def test_ls_since_is_a_moment(call: Call) -> None:
    with sync.open(URL) as stores:
        for name in ("before", "after"):
            stores.tasks.save(TaskState(task_id=name))
    moment = saved_at("before")
    page = json.loads(call("ls", URL, "--json", "--since", moment.isoformat())[1])
    assert [one["task_id"] for one in page["tasks"]] == ["after"]
    naive = moment.astimezone().replace(tzinfo=None).isoformat()  # without a timezone: as the clock on the wall says
    assert json.loads(call("ls", URL, "--json", "--since", naive)[1]) == page


def test_ls_goes_page_by_page(tasks: None, call: Call) -> None:
    seen: list[str] = []
    after: list[str] = []
    while after != ["--after", None] and len(seen) < 10:
        page = json.loads(call("ls", URL, "--json", "--limit", "1", *after)[1])
        seen += [one["task_id"] for one in page["tasks"]]
        after = ["--after", page["next"]]
    assert seen == ["stale", "held", "trip"]
    hint = re.search(r"--after ([\w-]+)", call("ls", URL, "--limit", "1")[1].replace("\n", ""))
    assert hint
    assert "held" in call("ls", URL, "--limit", "1", "--after", hint[1])[1]


def test_ls_tells_a_program_everything(tasks: None, call: Call) -> None:
    with sync.open(URL) as stores:
        expected = [asdict(one) for one in stores.tasks.list()]
    plain = json.loads(json.dumps(expected, default=datetime.isoformat))
    assert json.loads(call("ls", URL, "--json")[1]) == {"tasks": plain, "next": None}
    assert plain[1]["lease"]["owner"] == "worker-3"


def test_ls_shows_ids_whole_and_fits(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a-long-name-" * 8
    with sync.open(URL) as stores:
        stores.tasks.save(TaskState(task_id=name, context_id="c" * 50, status="auth-required"))
        stores.tasks.claim(name, "a-worker-" * 5, timedelta(days=300))
    out = call("ls", URL)[1]
    assert [line for line in out.splitlines() if not fits(line)] == [name], "the terminal folds it: it is copied whole"
    assert "auth-required" in out
    assert main.run(["ls", URL, "--tasks"]) == 0  # the same list
    monkeypatch.setenv("COLUMNS", "120")
    assert "conversation" in call("ls", URL)[1]


# --- show


def test_show_says_how_a_task_stands(tasks: None, call: Call) -> None:
    code, out, err = call("show", URL, "held")
    assert (code, err) == (0, "")
    assert fits(out)
    until = f"{lease_of('held').expires_at.astimezone():%Y-%m-%d %H:%M:%S}"
    assert out.splitlines() == [
        "held",
        f"working · version 1 · saved {saved_at('held').astimezone():%Y-%m-%d %H:%M:%S}",
        "conversation c2 · parent trip",
        f"held by worker-3 until {until}",
        f"fencing token {lease_of('held').token}",
        "",
        "1 step recorded since, which this version does not cover",
        '  charge: {"id": "ch_1"}',
        "",
        '{"step": 7}',
    ]
    assert "free to claim: worker-1 held it until " in call("show", URL, "stale")[1]
    assert "no owner" in call("show", URL, "trip")[1]


def test_show_goes_back_to_a_version(tasks: None, call: Call) -> None:
    out = call("show", URL, "trip", "--version", "3")[1]
    assert "input-required · version 3 of 5 · saved" in out
    assert "Which Paris" in out
    assert "holds" not in out
    assert "version 5 · saved" in call("show", URL, "trip", "--version", "5")[1]
    for version, (status, data) in enumerate(STATES, 1):
        found = json.loads(call("show", URL, "trip", "--version", str(version), "--json")[1])
        assert (found["version"], found["status"], found["data"]) == (version, status, data)
    expected = json.loads(json.dumps(asdict(loaded("held")), default=datetime.isoformat))
    assert json.loads(call("show", URL, "held", "--json")[1]) == expected
    assert expected["steps"] == {"charge": {"id": "ch_1"}}


def test_show_cuts_what_is_long_and_says_so(call: Call) -> None:
    data = {
        "text": "word " * 100,
        "messages": [{"role": "user", "content": f"{number} " + "x" * 100} for number in range(30)],
        **{f"key{number}": number for number in range(40)},
        "日本語": "日本語" * 50,
    }
    with sync.open(URL) as stores:
        stores.tasks.save(TaskState(task_id="t", data=data))
    out = call("show", URL, "t")[1]
    assert fits(out)
    shown = ("… 500 characters", "… 20 more items", "… 13 more keys", '"content": "29 xxx', '"content": "3 xxx')
    assert [text for text in shown if text not in out] == []
    assert '"content": "15' not in out
    out = call("show", URL, "t", "--full")[1]
    assert "…" not in out
    assert [text for text in ('"content": "15', '"key39": 39', "日本語" * 10) if text not in out] == []
    with sync.open(URL) as stores:
        stores.tasks.save(TaskState(task_id="t", data=[[number] * 40 for number in range(10)]))
        deep: Any = "x"
        for number in range(190):
            deep = [deep] if number % 2 else {"k": deep}
        stores.tasks.save(TaskState(task_id="deep", data=deep))
    assert len(call("show", URL, "t")[1].splitlines()) < 80
    code, out, _ = call("show", URL, "deep")
    assert (code, fits(out)) == (0, True)


def test_what_is_stored_cannot_act_on_the_terminal(call: Call) -> None:
    name = "t\x1b[2J"
    state = TaskState(
        task_id=name, status="so\x1b[1m", context_id="c\x1b", agent_id="\u202ea", data={"k\x1b": "\x1b[31m"}
    )
    with sync.open(URL) as stores:
        stores.tasks.save(state)
        stores.tasks.save(TaskState(task_id=name, status="so", data={"k\x1b": "\x1b[0m\x9b\u202e", "\x1b": 1}))
        stores.tasks.claim(name, "o\x1b", timedelta(days=1))
        stores.tasks.record(name, "s\x1b", "\x1b\x9b")
    for command in (["ls"], ["show", name], ["show", name, "--full"], ["history", name], ["diff", name, "1", "2"]):
        out = call(command[0], URL, *command[1:])[1]
        assert "␛" in out
        assert not {"\x1b", "\x9b", "\u202e"} & set(out), command
    assert "\x1b" not in call("rewind", URL, name, "1")[1]


# --- history


def test_history_is_a_time_line(tasks: None, call: Call) -> None:
    code, out, err = call("history", URL, "trip")
    assert (code, err) == (0, "")
    assert fits(out)
    head, _, line = out.partition("\n\n")
    assert head.splitlines()[0] == "trip"
    rows = [re.fullmatch(r"(\d+)  \d\d:\d\d:\d\d  (.{9})  (.*)", row.rstrip()) for row in line.splitlines()]
    assert [(row[1], row[3]) for row in rows if row] == [
        ("5", "working → completed, step 2 → 3, messages +1"),
        ("4", "input-required → working, step 1 → 2, 2 more"),
        ("3", "working → input-required, messages +1, plan -2, 1 more"),
        ("2", "step 0 → 1, messages +1, plan[0].done added: true"),
        ("1", "begun, working, step: 0, messages: [], plan: 2 items"),
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", line.splitlines()[0])
    assert [bool(row[2].strip()) for row in rows if row] == [True] * 4 + [False]
    assert "1 step recorded since" in call("history", URL, "held")[1]


def test_history_goes_page_by_page(tasks: None, call: Call) -> None:
    whole = json.loads(call("history", URL, "trip", "--json")[1])
    assert (whole["task_id"], whole["next"]) == ("trip", None)
    assert [one["version"] for one in whole["versions"]] == [5, 4, 3, 2, 1]
    assert [(one["status"], one["data"]) for one in whole["versions"]] == STATES[::-1]
    assert [one["seconds"] is None for one in whole["versions"]] == [False] * 4 + [True]
    times = [datetime.fromisoformat(one["updated_at"]) for one in whole["versions"]]
    assert whole["versions"][0]["seconds"] == (times[0] - times[1]).total_seconds()
    assert whole["versions"][0]["changed"] == ["working → completed", "step 2 → 3", "messages +1"]
    paged: list[Any] = []
    before: list[str] = []
    while before != ["--before", "None"] and len(paged) < 10:
        page = json.loads(call("history", URL, "trip", "--json", "--limit", "2", *before)[1])
        paged += page["versions"]
        before = ["--before", str(page["next"])]
    assert paged == whole["versions"]
    assert call("history", URL, "trip", "--limit", "2")[1].endswith("more: the same with --before 4\n")
    out = call("history", URL, "trip", "--limit", "2", "--before", "4")[1]
    assert [row.split()[0] for row in out.splitlines()[1:]] == ["3", "2", "more:"]


def test_history_says_where_it_was_cut_off(tasks: None, call: Call) -> None:
    with sync.open(URL) as stores:
        stores.tasks.prune("trip", keep=2)
        stores.tasks.save(TaskState(task_id="trip", context_id="c3", status="completed", data=STATES[-1][1]))
        stores.tasks.save(TaskState(task_id="trip", context_id="c3", status="completed", data=STATES[-1][1]))
    out = call("history", URL, "trip")[1]
    assert "4  " in out
    assert out.rstrip().endswith("the version before is gone")
    assert "conversation c1 → c3, agent planner → null" in out
    assert "nothing changed" in out


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1, "b": [1]}, {"a": 1, "b": [1]}, []),
        ({"a": 1}, {"a": True}, ["a 1 → true"]),
        ({"a": 1}, {"a": 1.0}, ["a 1 → 1.0"]),
        ({"a": None}, {"b": None}, ["b added: null", "a removed"]),
        ({"a": {"b": {"c": 1}}, "d": 1}, {"a": {"b": {"c": 2}}, "d": 2}, ["d 1 → 2", "a.b.c 1 → 2"]),
        ({"a": {"b": 1}}, {"a": [1, 2]}, ["a 1 key → 2 items"]),
        ({"": [1]}, {"": [1, 2]}, ['"" +1']),
        ([1, 2, 3], [1, 2, 3, 4, 5], ["data +2"]),
        ([1, 2, 3, 4], [1, 3, 4], ["data -1"]),
        ([1, 2, 3], [0, 1, 2, 3], ["data +1"]),
        ([1, 2, 3, 4], [2, 3, 4, 5, 6], ["data +2 -1"]),
        ([1, 2, 3], [7, 8], ["data +2 -3"]),
        ([1, 2, 3], [7, 8, 3], ["data 2 of 3 items changed"]),
        ([0, 0, 0], [0, 0, 1], ["[2] 0 → 1"]),
        ([0, *range(500)], [1, *range(500), 500], ["data +1", "[0] 0 → 1"]),
        ({"t": "x" * 40}, {"t": "x" * 1040}, ["t +1,000 characters"]),
        ({"t": "x" * 40}, {"t": ""}, ["t -40 characters"]),
        ({"t": "x" * 40}, {"t": "y" * 41}, ["t rewritten, 41 characters"]),
        ({"t": "x" * 40}, {"t": 5}, ["t 40 characters → 5"]),
        ({"a" * 50: 1}, {"a" * 50: 2}, ["a" * 50 + " 1 → 2"]),
        ("a", "b\nc", ["data a → b c"]),
    ],
)
def test_a_change_in_few_words(before: Any, after: Any, told: list[str]) -> None:
    assert changes(before, after) == told
    assert changes(before, before) == changes(after, after) == []


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(0), "0 ms"),
        (timedelta(milliseconds=412), "412 ms"),
        (timedelta(seconds=1), "1.0 s"),
        (timedelta(seconds=-2), "-2.0 s"),
        (timedelta(seconds=99), "99.0 s"),
        (timedelta(minutes=4, seconds=12), "4.2 min"),
        (timedelta(hours=2, minutes=30), "2.5 h"),
        (timedelta(days=3), "3.0 days"),
        (timedelta(days=4000), "4,000.0 days"),
    ],
)
def test_a_length_of_time_as_people_say_it(length: timedelta, said: str) -> None:
    assert span(length) == said


def test_brief_counts_columns() -> None:
    assert brief("one two", 7) == "one two"
    assert brief("one two three", 8) == "one two…"
    assert brief("日本語の", 8) == "日本語の"
    assert brief("日本語のとても", 8) == "日本語…"


# --- diff


def test_diff_shows_what_went_and_what_came(tasks: None, call: Call) -> None:
    code, out, err = call("diff", URL, "trip", "2", "3")
    assert (code, err) == (0, "")
    assert fits(out)
    head, what, *rows = out.splitlines()
    assert head == "trip"
    assert re.fullmatch(r"version 2 → 3 · \d+ ms later · working → input-required", what)
    assert sorted(rows) == [
        'add     /messages/1  "Paris?"',
        'add     /question  "Which Paris, do you think?"',
        'remove  /plan/0  {"what": "search", "done": true}',
        'remove  /plan/0  {"what": "write"}',
    ]
    back = call("diff", URL, "trip", "3", "2")[1]
    assert 'remove  /question  "Which Paris, do you think?"' in back
    assert " earlier · input-required → working" in back
    assert "replace /step  2 → 3" in call("diff", URL, "trip", "4", "5")[1]
    assert call("diff", URL, "trip", "2", "2")[1].endswith("the data is the same\n")


def test_diff_gives_a_program_the_patch(tasks: None, call: Call) -> None:
    for a in range(1, 6):
        for b in range(1, 6):
            patch = json.loads(call("diff", URL, "trip", str(a), str(b), "--json")[1])
            assert jsonpatch.apply_patch(STATES[a - 1][1], patch) == STATES[b - 1][1]


def test_diff_shows_where_long_texts_differ(call: Call) -> None:
    text = "word " * 200
    with sync.open(URL) as stores:
        for body in (text + "one end", text + "another end"):
            stores.tasks.save(TaskState(task_id="t", data={"text": body, "moved": 1}))
        stores.tasks.save(TaskState(task_id="t", data={"text": text, "elsewhere": 1, "rows": [text]}))
    out = call("diff", URL, "t", "1", "2")[1]
    assert fits(out)
    assert out.splitlines()[2:] == [
        "replace /text",
        '        - … word word word one end"',
        '        + … word word word another end"',
    ]
    out = call("diff", URL, "t", "1", "2", "--full")[1]
    assert fits(out)
    assert words(out).count("word") == 400
    out = call("diff", URL, "t", "2", "3")[1]
    assert fits(out)
    assert "move    /moved → /elsewhere" in out
    assert re.search(r'add {5}/rows {2}\["word word .*…$', out, re.MULTILINE)


VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, "", "a", "~/"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["", "a", "b", "c/d", "~"]), inner),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_what_a_patch_finds_is_what_is_there(before: Any, after: Any) -> None:
    patch = jsonpatch.make_patch(before, after).patch
    value = json.loads(json.dumps(before))
    for one, step in zip(patch, steps_of(before, patch), strict=True):
        pointer = jsonpatch.JsonPointer(one["path"])
        if step.kind in {"replace", "remove"}:
            assert exact(step.old) == exact(pointer.resolve(value))
        value = jsonpatch.apply_patch(value, [one])
        if step.kind in {"replace", "add"}:
            assert exact(step.new) == exact(one["value"])
    assert exact(value) == exact(after)


def exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def test_diff_without_its_library_names_the_extra(tasks: None, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonpatch", None)
    code, out, err = call("diff", URL, "trip", "1", "2")
    assert (code, out) == (1, "")
    assert err == "stowfast: diff needs jsonpatch: pip install 'stowfast[diff]'\n"
    assert call("history", URL, "trip")[0] == 0


# --- rewind


def test_a_rewind_is_done_only_when_told_to(tasks: None, call: Call) -> None:
    code, out, err = call("rewind", URL, "trip", "2")
    assert (code, err) == (0, "")
    assert fits(out)
    assert re.match(r"trip: would be as in version 2 of [\d-]+ [\d:]+: completed → working, step 3 → 1,", words(out))
    assert out.endswith("\nnothing was changed: give --yes\n")
    told = json.loads(call("rewind", URL, "trip", "2", "--json")[1])
    assert told == {"task_id": "trip", "rewound": False, "to": 2, "version": 5}
    assert loaded("trip").version == 5
    code, out, err = call("rewind", URL, "trip", "2", "--yes")
    assert (code, err) == (0, "")
    assert words(out).startswith(
        "trip: version 6, as version 2 was: completed → working, step 3 → 1, messages -3, plan +2"
    )
    state = loaded("trip")
    assert (state.version, state.status, state.data) == (6, *STATES[1])
    assert call("rewind", URL, "trip", "6", "--yes")[1] == "trip: version 6 is the newest already\n"
    told = json.loads(call("rewind", URL, "trip", "5", "--yes", "--json")[1])
    assert told == {"task_id": "trip", "rewound": True, "to": 5, "version": 7}


def test_a_rewind_says_whom_it_disturbs(tasks: None, call: Call) -> None:
    with sync.open(URL) as stores:
        stores.tasks.save(TaskState(task_id="held", data={"step": 8}))
    out = words(call("rewind", URL, "held", "1")[1])
    assert "held by worker-3 until " in out
    assert "a save by its owner comes on top of that" in out
    assert "1 recorded step would stay: charge" in out
    assert call("rewind", URL, "held", "1", "--yes")[0] == 0
    state = loaded("held")
    assert (state.data, lease_of("held").owner, state.steps) == ({"step": 7}, "worker-3", {"charge": {"id": "ch_1"}})


# --- errors, colours, other places


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["ls", "sqlite:///none.db"], 1, "there is no file none.db"),
        (["ls", URL, "--since", "yesterday"], 2, "--since 'yesterday' is no time: give 30m, 2h, 7d, or a date"),
        (["ls", URL, "--since", "999999999w"], 2, "is no time"),
        (["ls", URL, "--limit", "0"], 2, "--limit"),
        (["ls", URL, "--after", "x"], 1, "--after 'x' is no"),
        (["show", URL, "none"], 1, "there is no task 'none': `stowfast tasks ls` shows which there are"),
        (["show", URL, "none", "--version", "2"], 1, "there is no task 'none': `stowfast tasks ls`"),
        (
            ["show", URL, "trip", "--version", "9"],
            1,
            "task 'trip' has no version 9, or no longer: `stowfast tasks hist",
        ),
        (["show", URL, "trip", "--version", "0"], 2, "--version"),
        (["show", URL], 2, "Missing argument 'ID' (see stowfast tasks show --help)"),
        (["history", URL, "none"], 1, "there is no task 'none'"),
        (["history", URL, "trip", "--before", "1"], 1, "task 'trip' has no version below 1, or no longer"),
        (["diff", URL, "trip", "1", "9"], 1, "task 'trip' has no version 9, or no longer"),
        (["diff", URL, "none", "1", "2"], 1, "there is no task 'none'"),
        (["diff", URL, "trip", "1"], 2, "Missing argument 'B'"),
        (["diff", URL, "trip", "one", "2"], 2, "Invalid value for 'A'"),
        (["rewind", URL, "none", "1", "--yes"], 1, "there is no task 'none'"),
        (["rewind", URL, "trip", "9", "--yes"], 1, "task 'trip' has no version 9, or no longer"),
        (["nope"], 2, "No such command 'nope' (see stowfast tasks --help)"),
    ],
)
def test_an_error_is_one_line_and_changes_nothing(
    arguments: list[str], code: int, line: str, tasks: None, call: Call
) -> None:
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("stowfast: ")
    assert line in err
    assert err.count("\n") == 1
    assert loaded("trip").version == 5
    assert not Path("none.db").exists()


def test_a_task_is_not_a_conversation(tasks: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["show", URL, "trip"]) == 1
    assert "there is no conversation 'trip': a task is for `stowfast tasks show`" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", [["ls"], ["history", "trip"]])
def test_colours_are_for_a_terminal_alone(
    command: list[str], tasks: None, tmp_path: Path, on_terminal: Callable[..., str]
) -> None:
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    whole = [*STOWFAST, "tasks", command[0], URL, *command[1:]]
    piped = subprocess.run(whole, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=True).stdout
    assert b"\x1b" not in piped
    shown = on_terminal(whole, 300, env=environment, cwd=tmp_path)
    assert "\x1b[" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown).split() == piped.decode().split()


def test_looking_writes_nothing_to_a_bucket(call: Call) -> None:
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        with sync.open(url) as stores:
            for status, data in STATES:
                stores.tasks.save(TaskState(task_id="trip", status=status, data=data))
            stores.tasks.claim("trip", "worker-3", timedelta(hours=2))
        before = server.objects
        with server.counted() as made:
            for command in (["ls"], ["show", "trip"], ["history", "trip"], ["diff", "trip", "1", "3"]):
                code, out, err = call(command[0], url, *command[1:])
                assert (code, err) == (0, "")
                assert "trip" in out
            assert call("rewind", url, "trip", "2")[0] == 0
        assert {record.operation for record in made} <= {"GET", "LIST", "HEAD"}
        assert server.objects == before
        assert json.loads(call("rewind", url, "trip", "2", "--yes", "--json")[1])["version"] == 6


def test_since_counts_back_from_now(call: Call) -> None:
    with sync.open(URL) as stores:
        stores.tasks.save(TaskState(task_id="t"))
    assert datetime.now(UTC) - saved_at("t") < timedelta(hours=1)
    assert json.loads(call("ls", URL, "--json", "--since", "1h")[1])["tasks"]
    assert json.loads(call("ls", URL, "--json", "--since", "0s")[1])["tasks"] == []
