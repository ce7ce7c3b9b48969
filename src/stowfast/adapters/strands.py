"""Strands Agents: sessions, a session manager that reports conflicts, and storage for snapshots."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote

from stowfast.adapters.closing import WithClose, WithSyncClose
from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined, storage_id
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError, StowfastError
from stowfast.plain_json import to_json
from stowfast.records import Artifact

with extra("strands"):
    from strands.session.repository_session_manager import RepositorySessionManager
    from strands.session.session_repository import SessionRepository
    from strands.storage.storage import Storage
    from strands.types.exceptions import SessionException, StorageError
    from strands.types.session import Session, SessionAgent, SessionMessage

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator

    from strands.multiagent import MultiAgentBase
    from strands.types.agent import LocalAgent
    from strands.types.content import Message

    from stowfast import sync
    from stowfast.records import ConversationSlice, Document, MessageEntry
    from stowfast.stores import Stores

__all__ = ["SessionConflictError", "StowfastSessionManager", "StowfastSessionRepository", "StowfastStorage"]

M = TypeVar("M", Session, SessionAgent, SessionMessage)

_ROOT: Final = "strands"
_PAGE: Final = 1_000


class SessionConflictError(SessionException):
    """Another manager changed the session first. Nothing was stored: make the agent anew, then decide."""


class StowfastSessionRepository(WithSyncClose, SessionRepository):
    """A `SessionRepository` of Strands over Stowfast, for `RepositorySessionManager`.

    A session, an agent and a multi-agent state are one document each. The messages of an agent are one conversation,
    in the order of their ids. After a call returns, its change is stored, also after a crash.

    Strands numbers messages in each process. With two managers on one session both give the same number: here the
    later message gets the next free one, so nothing is lost, and `message_id` of the given message says which. A
    message that is updated is stored anew in its place.

    The methods block. They may be called inside a running event loop, as Strands does.

    Args:
        stores: a URL, or open stores.
        scope: the scope of these stores to use.
        conflicts: a taken number, or an agent that another repository changed since this one read it, is a
            `SessionConflictError`.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        SessionException: the session or the agent does not exist, or exists already; JSON cannot carry a value; a
            stored value is none of Strands; or no answer came, and the change may be stored. The error of Stowfast is
            the cause.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        conflicts: bool = False,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)
        self._conflicts = conflicts
        self._seen: dict[str, Document | int] = {}
        """With `conflicts`: the agents as this repository knows them, by their documents' ids."""

    @property
    def _stores(self) -> sync.Stores:
        return self._opener.open_sync()

    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Store a new session. An id that is taken is a SessionException."""
        self._create(joined(_ROOT, session.session_id), session.to_dict(), "session")
        return session

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        """Return a session; None for an unknown one."""
        found = self._get(joined(_ROOT, session_id))
        return None if found is None else _made(Session, found.data)

    def delete_session(self, session_id: str, **kwargs: Any) -> None:
        """Delete a session with its agents and messages. After an error call it again. An unknown one is fine."""
        below = joined(_ROOT, session_id, "")
        with _translated():
            while contexts := self._stores.messages.contexts(prefix=below, limit=_PAGE):
                for context in contexts:
                    self._stores.messages.delete(context.context_id)
            while documents := self._stores.documents.list(prefix=below, limit=_PAGE):
                for document in documents:
                    self._stores.documents.delete(document.document_id)
            # Last: until then the session is there, and a second call finds the rest.
            self._stores.documents.delete(joined(_ROOT, session_id))

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Store a new agent of a session. An id that is taken is a SessionException."""
        self._need(joined(_ROOT, session_id), "session")
        document_id = joined(_ROOT, session_id, "agents", session_agent.agent_id)
        self._seen[document_id] = self._create(document_id, session_agent.to_dict(), "agent")

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        """Return an agent; None for an unknown one."""
        found = self._get(joined(_ROOT, session_id, "agents", agent_id))
        if found is None:
            return None
        self._seen[found.document_id] = found
        return _made(SessionAgent, found.data)

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Store an agent anew. Its time of creation stays."""
        document_id = joined(_ROOT, session_id, "agents", session_agent.agent_id)
        before = self._need(document_id, "agent")
        session_agent.created_at = before.data["created_at"]
        expect = self._seen.get(document_id, before) if self._conflicts else None
        with _translated():
            data = to_json(session_agent.to_dict())
            self._seen[document_id] = self._stores.documents.put(document_id, data, expect=expect)

    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Add a message behind all others of the agent, in one commit.

        Without `conflicts` a number that is not above all others becomes the next one, in `session_message`, too.
        """
        context_id = joined(_ROOT, session_id, agent_id)
        while True:
            with _translated():
                found = self._stores.messages.read(context_id, last=1)
            if not found.entries:
                self._need(joined(_ROOT, session_id, "agents", agent_id), "agent")
            free = int(found.entries[-1].message["message_id"]) + 1 if found.entries else 0
            if session_message.message_id < free:
                if self._conflicts:
                    reason = f"message {session_message.message_id} of agent {agent_id} was written by another manager"
                    raise SessionConflictError(reason)
                session_message.message_id = free
            with _translated():
                try:
                    self._stores.messages.add_message(
                        context_id,
                        to_json(session_message.to_dict()),
                        expect=found.info.next_position if found.info else 0,
                    )
                except ConflictError:
                    continue  # another message came first: its number is taken now
                return

    def read_message(self, session_id: str, agent_id: str, message_id: int, **kwargs: Any) -> SessionMessage | None:
        """Return a message; None for an unknown one. It reads from the newest message back."""
        found = self._entry(joined(_ROOT, session_id, agent_id), message_id)
        return None if found is None else _made(SessionMessage, found.message)

    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Store a message anew in its place, in one commit with those behind it. Its time of creation stays."""
        context_id = joined(_ROOT, session_id, agent_id)
        while True:
            before = self._entry(context_id, session_message.message_id)
            if before is None:
                raise SessionException(f"message {session_message.message_id} of agent {agent_id} does not exist")
            session_message.created_at = before.message["created_at"]
            with _translated():
                found = self._stores.messages.read(context_id, after=before.position - 1)
                if found.info is None or not _begins_with(found, before):
                    continue
                messages = [to_json(session_message.to_dict()), *found.messages[1:]]
                try:
                    self._stores.messages.replace_messages(
                        context_id, messages, start=before.position, if_token=found.info.token
                    )
                except ConflictError:
                    continue  # another change came first: read again
                return

    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **kwargs: Any
    ) -> list[SessionMessage]:
        """Return messages in the order of their numbers.

        Args:
            session_id: the session.
            agent_id: an agent of it.
            limit: the most messages.
            offset: the number of oldest messages to leave out.
            kwargs: nothing.
        """
        with _translated():
            found = self._stores.messages.get_messages(joined(_ROOT, session_id, agent_id))
        if not found:
            self._need(joined(_ROOT, session_id, "agents", agent_id), "agent")
        return [_made(SessionMessage, one) for one in found[offset : None if limit is None else offset + limit]]

    def create_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Store the state of a graph or a swarm, new or in place of an earlier one."""
        self._need(joined(_ROOT, session_id), "session")
        with _translated():
            document_id = joined(_ROOT, session_id, "multi_agents", multi_agent.id)
            self._stores.documents.put(document_id, to_json(multi_agent.serialize_state()))

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:
        """Return the state of a graph or a swarm; None for an unknown one."""
        found = self._get(joined(_ROOT, session_id, "multi_agents", multi_agent_id))
        return None if found is None else found.data

    def update_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Store the state of a graph or a swarm anew."""
        self._need(joined(_ROOT, session_id, "multi_agents", multi_agent.id), "multi-agent")
        self.create_multi_agent(session_id, multi_agent)

    def _get(self, document_id: str) -> Document | None:
        with _translated():
            return self._stores.documents.get(document_id)

    def _need(self, document_id: str, noun: str) -> Document:
        found = self._get(document_id)
        if found is None:
            raise SessionException(f"the {noun} does not exist: {document_id}")
        return found

    def _create(self, document_id: str, data: dict[str, Any], noun: str) -> int:
        with _translated():
            try:
                return self._stores.documents.put(document_id, to_json(data), expect=0)
            except ConflictError as error:
                raise SessionException(f"the {noun} exists already: {document_id}") from error

    def _entry(self, context_id: str, message_id: int) -> MessageEntry | None:
        with _translated():
            for entry in self._stores.messages.entries(context_id, reverse=True):
                if entry.message["message_id"] <= message_id:
                    return entry if entry.message["message_id"] == message_id else None
        return None


class StowfastSessionManager(WithSyncClose, RepositorySessionManager):
    """A session manager of Strands over Stowfast that reports conflicts.

    Each message is stored when it is added to the agent. Of two managers that continue one session from the same
    state, one stores its message; the other gets a `SessionConflictError`, and nothing of it is stored.

    Args:
        session_id: the session. A new one is created at once.
        stores, scope, within, options: as for `StowfastSessionRepository`.

    Raises:
        SessionException: as for `StowfastSessionRepository`.
    """

    def __init__(
        self,
        session_id: str,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._repository = StowfastSessionRepository(stores, scope=scope, conflicts=True, within=within, **options)
        self._opener = self._repository._opener  # noqa: SLF001 - both let go of the same stores
        super().__init__(session_id, self._repository)

    def append_message(self, message: Message, agent: LocalAgent, **kwargs: Any) -> None:
        """Store a message behind those of the agent.

        Raises:
            SessionConflictError: another manager was first. Nothing was stored.
        """
        before = self._latest_agent_message[agent.agent_id]
        try:
            super().append_message(message, agent, **kwargs)
        except SessionException:
            # The base class counts a message before it is stored.
            self._latest_agent_message[agent.agent_id] = before
            raise


class StowfastStorage(WithClose, Storage):
    """A `Storage` of Strands over Stowfast, as for `SnapshotSessionManager`. A key is one artifact.

    After `write` returns, the bytes are stored whole: a reader gets them or the bytes before. Keys are any text of up
    to about 1,000 bytes, a slash means nothing. `search` reads all keys, as in the storages of Strands.

    Args:
        stores: a URL, or open stores.
        scope: the scope of these stores to use.
        versions: the newest writes of a key that are kept, for `stowfast` itself to read.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        StorageError: the key is invalid, or no answer came, and a write may be stored. The error of Stowfast is the
            cause.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        versions: int = 1,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)
        self._versions = versions

    async def write(self, key: str, data: bytes) -> None:
        """Store bytes under a key, in place of earlier ones."""
        with _translated(StorageError):
            artifacts = (await self._opener.open()).artifacts
            stored = await artifacts.put(Artifact(artifact_id=_artifact_id(key), content=bytes(data)))
            if stored.version > self._versions:
                await artifacts.prune(stored.artifact_id, keep=self._versions)

    async def read(self, key: str) -> bytes | None:
        """Return the bytes of a key; None for an unknown one."""
        with _translated(StorageError):
            artifacts = (await self._opener.open()).artifacts
            if (found := await artifacts.get(_artifact_id(key))) is None:
                return None
            content: bytes = found.content
            return content

    async def delete(self, key: str) -> None:
        """Remove a key. An unknown one is fine."""
        with _translated(StorageError):
            await (await self._opener.open()).artifacts.delete(_artifact_id(key))

    async def list(self, query: str = "") -> builtins.list[str]:
        """Return all keys with a prefix, sorted."""
        keys, after = [], None
        with _translated(StorageError):
            artifacts = (await self._opener.open()).artifacts
            while True:
                prefix = storage_id(query)
                page = await artifacts.list(prefix=prefix, order="id", limit=_PAGE, after=after)
                keys += [unquote(one.artifact_id.removeprefix(storage_id("")), errors="surrogatepass") for one in page]
                if (after := page.next) is None:
                    return sorted(keys)


def _artifact_id(key: str) -> str:
    if not key:
        raise StorageError("Storage key must not be empty")
    return storage_id(key)


def _made(kind: type[M], stored: dict[str, Any]) -> M:
    """Return an object of Strands from its stored form."""
    with _translated(), decoding("the session"):
        made: M = kind.from_dict(stored)
        return made


def _begins_with(found: ConversationSlice, entry: MessageEntry) -> bool:
    return bool(found.entries) and found.entries[0].position == entry.position


@contextmanager
def _translated(kind: type[Exception] = SessionException) -> Iterator[None]:
    """Raise errors of Stowfast as those of Strands, with ours as the cause."""
    try:
        yield
    except StowfastError as error:
        if isinstance(error, ConflictError) and kind is SessionException:
            raise SessionConflictError(f"another manager was first: {error}") from error
        raise kind(str(error)) from error
