"""ADK sessions: a session is a conversation, its events are the messages, its state is the metadata.

The state of an app and of a user is a document each, shared by all of their sessions.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from stowfast.adapters.closing import WithClose
from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError
from stowfast.names import new_id
from stowfast.stores.codec import stream_name
from stowfast.stores.messages.contexts import KIND
from stowfast.stores.messages.metadata import change_of

with extra("google-adk"):
    from google.adk.errors._stale_session_error import StaleSessionError
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.errors.session_not_found_error import SessionNotFoundError
    from google.adk.events.event import Event
    from google.adk.platform import time as platform_time
    from google.adk.platform import uuid as platform_uuid
    from google.adk.sessions._session_util import extract_json_safe_state_delta
    from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
    from google.adk.sessions.session import Session
    from google.adk.sessions.state import State

if TYPE_CHECKING:
    from stowfast import sync
    from stowfast.records import ContextInfo, Document
    from stowfast.stores import Stores

__all__ = ["StowfastSessionService"]

_PAGE: Final = 1_000_000
"""Sessions of one listing. A second page by recency could miss a session that changed meanwhile."""

_STALE: Final = (
    "The session was modified in storage since it was loaded. Load it again with get_session before the next event."
)


class StowfastSessionService(WithClose, BaseSessionService):
    """Sessions of ADK in any backend of Stowfast.

    An event that was acknowledged is stored once, in its place, with its session state in the same commit. Another
    process that appends from a session loaded earlier gets a StaleSessionError, and nothing of its event is stored.
    The check compares positions, not times: a clock plays no part. Within a process the appends to one session wait for
    each other.

    `app:` and `user:` state belong to many sessions, so they are stored before the event, each in a commit of its own.
    A crash in between leaves state without its event. An append that is repeated with the same event stores it once.

    Args:
        stores: a URL, or open stores of either face.
        scope: the scope of these stores to use.
        within: the time for repeats after a lost answer; see `stowfast.wrappers.Patient`.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)
        self._locks = _Locks()

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Store a new session. Spaces around its id are removed. Of racing calls with one id one succeeds.

        Raises:
            AlreadyExistsError: there is a session with this id. It is unchanged.
            UnavailableError: no answer. The session may be stored.
        """
        session_id = (session_id or "").strip() or platform_uuid.new_uuid()
        stores, conversation = await self._opener.open(), _conversation(app_name, user_id, session_id)
        taken = AlreadyExistsError(f"Session with id {session_id} already exists.")
        if await stores.messages.info(conversation) is not None:
            raise taken
        deltas, moment = extract_json_safe_state_delta(state or {}), platform_time.get_time()
        await _change_shared(stores, app_name, user_id, deltas, new_id())
        session = Session(app_name=app_name, user_id=user_id, id=session_id, last_update_time=moment)
        metadata = _metadata(session, deltas["session"], moment)
        # A message store has no call that begins a conversation without a message, or not at all.
        change = change_of(metadata, None)._replace(expect=0, op_id=new_id())
        try:
            receipt = await stores.backend.commit(stream_name(KIND, "session_id", conversation), change)
        except ConflictError as error:
            raise taken from error
        shared = await _shared(stores, app_name, user_id)
        session.state = deltas["session"] | shared
        _mark(session, receipt.incarnation, receipt.next)
        return session

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its events in the order of their appends; None for an unknown one.

        Raises:
            DamagedError: a stored event is none of this release of ADK.
        """
        session_id = session_id.strip()
        stores, since = await self._opener.open(), config.after_timestamp if config else None
        last = config.num_recent_events if config else None
        found, shared = await asyncio.gather(
            stores.messages.read(_conversation(app_name, user_id, session_id), last=None if since else last),
            _shared(stores, app_name, user_id),
        )
        if found.info is None:
            return None
        with decoding(f"the session {session_id!r}"):
            events = [Event.model_validate(entry.message) for entry in found.entries]
        if since:
            events = [event for event in events if event.timestamp >= since]
            events = events if last is None else events[max(0, len(events) - last) :]
        session = _session(found.info, shared)
        session.events = events
        return session

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return the sessions of a user, or of all users of an app, without events, the last updated at the end.

        One listing of the sessions, and two reads of the shared state. A session with damaged data is left out.
        """
        stores = await self._opener.open()
        listing = asyncio.gather(_infos(stores, app_name, user_id), _states(stores, app_name, user_id))
        infos, (of_app, of_users) = await listing
        sessions = []
        for info in infos:
            shared = of_app | of_users.get(info.context_id.rpartition("/")[0], {})
            sessions.append(_session(info, shared))
        sessions.sort(key=lambda one: (one.last_update_time, one.user_id, one.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events, for good. Its artifacts and shared state stay. An unknown one is fine."""
        stores = await self._opener.open()
        await stores.messages.delete(_conversation(app_name, user_id, session_id.strip()))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user without its prefix; an empty dict if there is none."""
        found = await (await self._opener.open()).documents.get(_user(app_name, user_id))
        return {} if found is None else dict(found.data)

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event, with the state that it changes, and add it to the session.

        A partial event is not stored. A repeat with the same event stores nothing more.

        Raises:
            StaleSessionError: the session was changed since it was loaded. The event is not stored.
            SessionNotFoundError: the session was deleted, or never created.
            InvalidError: JSON cannot store the event.
            UnavailableError: no answer. The event may be stored: append the same event again.
        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        conversation = _conversation(session.app_name, session.user_id, session.id)
        async with self._locks.lock(conversation):
            await self._append(await self._opener.open(), conversation, session, event)
        return self._commit_event_to_session(session, event)

    async def _append(self, stores: Stores, conversation: str, session: Session, event: Event) -> None:
        message = event.model_dump(mode="json", exclude_none=True)
        # The same event again is a repeat. Another event under the same id is an event of its own.
        op_id = hashlib.sha256(msgspec.json.encode(message)).hexdigest()
        deltas = extract_json_safe_state_delta(event.actions.state_delta)
        while True:
            info = await stores.messages.info(conversation)
            if info is None:
                raise SessionNotFoundError(f"Session {session.id} not found.")
            marker = _marker_of(session)
            is_stale = marker not in {None, _marker(info.incarnation, info.next_position)}
            if is_stale and not await _is_newest(stores, conversation, op_id):
                raise StaleSessionError(_STALE)
            await _change_shared(stores, session.app_name, session.user_id, deltas, op_id)
            if is_stale:
                following = info.next_position  # this very event is the newest: its answer was lost
                break
            state = info.metadata["adk"]["state"] | deltas["session"]
            metadata = _metadata(session, state, event.timestamp)
            try:
                added = await stores.messages.add_messages(
                    conversation, [message], op_id=op_id, metadata=metadata, if_token=info.token
                )
            except ConflictError as error:
                if marker is None:
                    continue  # a session that was loaded from nowhere appends to whatever is there
                raise StaleSessionError(_STALE) from error
            following = max(info.next_position, added.stop)
            break
        _mark(session, info.incarnation, following)
        session.last_update_time = event.timestamp


class _Locks:
    """One lock for each conversation in use, and each event loop: a lock of asyncio belongs to one loop."""

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, asyncio.Lock]] = (
            WeakKeyDictionary()
        )

    def lock(self, name: str) -> asyncio.Lock:
        locks = self._by_loop.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
        return locks.setdefault(name, asyncio.Lock())


def _conversation(app_name: str, user_id: str, session_id: str) -> str:
    return joined("adk", app_name, user_id, session_id)


def _app(app_name: str) -> str:
    return joined("adk", app_name)


def _user(app_name: str, user_id: str) -> str:
    return joined("adk", app_name, user_id)


def _marker(incarnation: str, following: int) -> str:
    return f"{incarnation}:{following}"


def _marker_of(session: Session) -> str | None:
    """Return the state of the store that a session was loaded from; None for a session that was made by hand."""
    return session._storage_update_marker  # noqa: SLF001 - ADK keeps this field for its session services


def _mark(session: Session, incarnation: str, following: int) -> None:
    session._storage_update_marker = _marker(incarnation, following)  # noqa: SLF001 - as above


def _metadata(session: Session, state: dict[str, Any], moment: float) -> dict[str, Any]:
    """Return the metadata of a conversation: ids as given, since those of the conversation may be shortened."""
    ids = {"app_name": session.app_name, "user_id": session.user_id, "id": session.id}
    return {"adk": {**ids, "state": state, "last_update_time": moment}}


def _session(info: ContextInfo, shared: dict[str, Any]) -> Session:
    with decoding(f"the conversation {info.context_id!r}"):
        session = Session(**info.metadata["adk"])
    session.state |= shared
    _mark(session, info.incarnation, info.next_position)
    return session


async def _is_newest(stores: Stores, conversation: str, op_id: str) -> bool:
    """Return True if the newest event was stored under this op_id."""
    newest = (await stores.messages.read(conversation, last=1)).entries
    return bool(newest) and newest[0].op_id == op_id


async def _infos(stores: Stores, app_name: str, user_id: str | None) -> list[ContextInfo]:
    prefix = _app(app_name) if user_id is None else _user(app_name, user_id)
    # On a bucket a listing by id reads the names of one user alone. Only one by recency keeps an index of the heads.
    order: Literal["recent", "id"] = "recent" if user_id is None else "id"
    infos: list[ContextInfo] = []
    after = None
    while True:
        page = await stores.messages.contexts(prefix=f"{prefix}/", order=order, info=True, after=after, limit=_PAGE)
        infos += page
        after = page.next
        if after is None:
            return infos


async def _states(
    stores: Stores, app_name: str, user_id: str | None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the state of an app, and of one user or all users by document, with the prefixes of ADK."""
    of_app = _prefixed(State.APP_PREFIX, await stores.documents.get(_app(app_name)))
    if user_id is not None:
        document_id = _user(app_name, user_id)
        return of_app, {document_id: _prefixed(State.USER_PREFIX, await stores.documents.get(document_id))}
    of_users: dict[str, dict[str, Any]] = {}
    after = None
    while True:
        page = await stores.documents.list(prefix=f"{_app(app_name)}/", after=after, limit=_PAGE)
        of_users |= {one.document_id: _prefixed(State.USER_PREFIX, one) for one in page}
        after = page.next
        if after is None:
            return of_app, of_users


async def _shared(stores: Stores, app_name: str, user_id: str) -> dict[str, Any]:
    of_app, of_users = await _states(stores, app_name, user_id)
    return of_app | of_users[_user(app_name, user_id)]


def _prefixed(prefix: str, document: Document | None) -> dict[str, Any]:
    return {} if document is None else {prefix + key: value for key, value in document.data.items()}


async def _change_shared(
    stores: Stores, app_name: str, user_id: str, deltas: dict[str, dict[str, Any]], op_id: str
) -> None:
    """Set keys of the shared state, each document under the op_id of its event."""
    for document_id, delta in ((_app(app_name), deltas["app"]), (_user(app_name, user_id), deltas["user"])):
        if delta:
            await stores.documents.update(document_id, partial(_merge, delta), default={}, op_id=op_id)


def _merge(delta: dict[str, Any], document: Document) -> None:
    document.data.update(delta)
