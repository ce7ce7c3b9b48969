"""Strands Agents, release 1.62.0: the sessions and snapshots of its session managers, in files or a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.ids import joined, storage_id
from stowfast.errors import InvalidError
from stowfast.importing.artifacts import artifact
from stowfast.importing.grouping import named
from stowfast.importing.streams import conversation, document, object_of
from stowfast.records import ArtifactInfo

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.buckets import Bucket
    from stowfast.importing.folders import Folder
    from stowfast.importing.streams import Found, SourceStream

__all__ = ["find_sessions"]

_ROOT: Final = "strands"
_SNAPSHOTS: Final = "session"
"""The folder of `SnapshotSessionManager` in a storage of files."""


def find_sessions(folder: Folder | Bucket) -> Generator[Found]:
    """Yield each session, its agents, and the states of graphs and swarms as documents; messages as conversations.

    Snapshots are artifacts, as `StowfastStorage` has them.
    """
    for session in folder.names("session_"):
        yield from named(f"session_{session}", _all_of(folder, session))
    snapshots = folder.below(_SNAPSHOTS) if folder.has(_SNAPSHOTS) else None
    for session in snapshots.names("") if snapshots else ():
        yield from named(f"{_SNAPSHOTS}/{session}", _snapshots_of(folder, session))


def _snapshots_of(folder: Folder | Bucket, session: str) -> Iterator[Found]:
    for scope in ("agent", "multiAgent"):
        above, path = folder.below(_SNAPSHOTS, session), f"{_SNAPSHOTS}/{session}/scopes/{scope}"
        if not above.has("scopes") or not above.below("scopes").has(scope):
            continue
        agents = above.below("scopes", scope)
        for agent in agents.names(""):
            for part in (("snapshots", "immutable_history"), ("snapshots",)):
                here = "/".join((path, agent, *part))
                yield from named(here, _snapshots(agents, here, (agent, *part)))


def _snapshots(folder: Folder | Bucket, path: str, below: tuple[str, ...]) -> Iterator[Found]:
    for name in below:
        if not folder.has(name):
            return
        folder = folder.below(name)
    for number in folder.names("snapshot_", ".json"):
        yield from named(f"{path}/snapshot_{number}.json", _snapshot(folder, path, number))


def _snapshot(folder: Folder | Bucket, path: str, number: str) -> Iterator[SourceStream]:
    name = f"snapshot_{number}.json"
    body = folder.read(name)
    moment = object_of(body, name).get("created_at")
    yield artifact(ArtifactInfo(artifact_id=storage_id(f"{path}/{name}")), "bytes", body, moment)


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
    return object_of(folder.read(name), name)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and str(int(text[:18])) == text):
        raise InvalidError(f"message_{text[:40]}.json: its name has no number")
    return int(text)
