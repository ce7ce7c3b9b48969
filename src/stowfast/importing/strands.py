"""Strands Agents: the files of `FileSessionManager` and the objects of `S3SessionManager`, release 1.62.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.ids import joined
from stowfast.errors import InvalidError
from stowfast.importing.streams import conversation, document, json_of
from stowfast.moving import Difference

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.buckets import Bucket
    from stowfast.importing.folders import Folder
    from stowfast.importing.streams import Found, SourceStream

__all__ = ["find_sessions"]

_ROOT: Final = "strands"


def find_sessions(folder: Folder | Bucket) -> Generator[Found]:
    """Yield each session, its agents, and the states of graphs and swarms as documents; messages as conversations."""
    for session in folder.names("session_"):
        found = _all_of(folder, session)
        while True:
            try:
                yield next(found)
            except StopIteration:
                break
            except InvalidError as error:
                yield Difference(f"session_{session}", str(error))
                break


def _all_of(folder: Folder | Bucket, session: str) -> Iterator[SourceStream]:
    here = folder.below(f"session_{session}")
    yield _document(here, "session.json", joined(_ROOT, session))
    agents = here.below("agents") if here.has("agents") else None
    for agent in agents.names("agent_") if agents else ():
        home = here.below("agents", f"agent_{agent}")
        yield _document(home, "agent.json", joined(_ROOT, session, "agents", agent))
        messages = home.below("messages") if home.has("messages") else None
        numbers = sorted(map(_number, messages.names("message_", ".json"))) if messages else []
        if messages and numbers:
            yield conversation(joined(_ROOT, session, agent), (_message(messages, number) for number in numbers))
    states = here.below("multi_agents") if here.has("multi_agents") else None
    for state in states.names("multi_agent_") if states else ():
        home = here.below("multi_agents", f"multi_agent_{state}")
        yield _document(home, "multi_agent.json", joined(_ROOT, session, "multi_agents", state))


def _document(folder: Folder | Bucket, name: str, document_id: str) -> SourceStream:
    data = _object(folder, name)
    return document(document_id, data, data.get("updated_at"))


def _message(folder: Folder | Bucket, number: int) -> tuple[object, dict[str, Any]]:
    name = f"message_{number}.json"
    data = _object(folder, name)
    if data.get("message_id") != number:
        raise InvalidError(f"{name} has another message_id")
    return data.get("created_at"), data


def _object(folder: Folder | Bucket, name: str) -> dict[str, Any]:
    data = json_of(folder.read(name), name)
    if not isinstance(data, dict):
        raise InvalidError(f"{name} is no JSON object")
    return data


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and str(int(text[:18])) == text):
        raise InvalidError(f"message_{text[:40]}.json: its name has no number")
    return int(text)
