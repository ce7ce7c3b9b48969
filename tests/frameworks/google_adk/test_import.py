"""Sessions of ADK's own service, imported: our service returns the same, and goes on with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from stowfast import importing
from stowfast.adapters.google_adk import StowfastSessionService
from tests.frameworks.large import LENGTHS, import_twice

if TYPE_CHECKING:
    from pathlib import Path

SESSIONS = 20
HOSTILE_IDS = ["a/b", "..", "%2F", "ü", "x" * 600, "user:ada", "'; DROP TABLE sessions; --"]


def events(number: int) -> list[Event]:
    """Return a question with a picture, a call, its result, and an answer that changes every state."""
    call = types.FunctionCall(id=f"c{number}", name="weather", args={"city": "Köln", "more": [1, None]})
    answer = types.FunctionResponse(id=f"c{number}", name="weather", response={"degrees": 1.5})
    picture = types.Blob(data=b"\x89PNG\0\xff" * 50, mime_type="image/png")
    delta = {"app:a": number, "user:u": {"n": number}, "s": f"{number} 😀"}
    contents = [
        types.Content(role="user", parts=[types.Part(text=f"{number} 😀"), types.Part(inline_data=picture)]),
        types.Content(role="model", parts=[types.Part(function_call=call)]),
        types.Content(role="user", parts=[types.Part(function_response=answer)]),
    ]
    made = [Event(author="agent", invocation_id=f"i{number}", content=one) for one in contents]
    return [*made, Event(author="agent", actions=EventActions(state_delta=delta))]


def shown(session: Any) -> Any:
    assert session is not None
    return session.model_dump()


async def test_sessions_of_sqlite(tmp_path: Path, durable_url: str) -> None:
    source = str(tmp_path / "theirs.db")
    theirs = SqliteSessionService(source)
    names = [("app", "ada", name) for name in HOSTILE_IDS]
    names += [(f"app{number % 3}", f"user{number % 7}", f"s{number}") for number in range(SESSIONS)]
    for number, (app, user, id) in enumerate(names):
        session = await theirs.create_session(app_name=app, user_id=user, session_id=id, state={"begin": number})
        for one in events(number) if number % 10 else ():
            await theirs.append_event(session, one)
    for repeat in range(2):
        done = await importing.import_from("google-adk", source, durable_url)
        assert done.differences == []
        assert (done.streams == 0) == bool(repeat)
    async with StowfastSessionService(durable_url) as ours:
        for app, user, id in names:
            found = await theirs.get_session(app_name=app, user_id=user, session_id=id)
            assert shown(await ours.get_session(app_name=app, user_id=user, session_id=id)) == shown(found)
        app, user, id = names[1]
        before = await theirs.get_session(app_name=app, user_id=user, session_id=id)
        assert before is not None
        for one in events(77):
            await theirs.append_event(before, one)
        assert (await importing.import_from("google-adk", source, durable_url)).differences == []
        mine = await ours.get_session(app_name=app, user_id=user, session_id=id)
        assert shown(mine) == shown(await theirs.get_session(app_name=app, user_id=user, session_id=id))
        assert mine is not None
        for one in events(78):
            await ours.append_event(mine, one)
        again = await ours.get_session(app_name=app, user_id=user, session_id=id)
        assert again is not None
        assert (len(again.events), again.state["s"]) == (12, "78 😀")
        await importing.import_from("google-adk", source, durable_url)
        assert shown(await ours.get_session(app_name=app, user_id=user, session_id=id)) == shown(again)


async def test_two_hundred_sessions(tmp_path: Path) -> None:
    source, url = str(tmp_path / "theirs.db"), f"sqlite:///{tmp_path}/ours.db"
    theirs = SqliteSessionService(source)
    names: dict[str, dict[str, Any]] = {}
    for number, (name, length) in enumerate(LENGTHS.items()):
        names[name] = {"app_name": "app", "user_id": f"u{number % 9}", "session_id": name}
        session = await theirs.create_session(**names[name])
        for one in events(number)[: length // 5] * (20 if length > 100 else 1):
            await theirs.append_event(session, one.model_copy(update={"id": Event.new_id()}))
    await import_twice("google-adk", source, url)
    async with StowfastSessionService(url) as ours:
        for keys in names.values():
            assert shown(await ours.get_session(**keys)) == shown(await theirs.get_session(**keys))
