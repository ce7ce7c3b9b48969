"""OpenAI Agents SDK: a `Session` over any backend.

    session = StowfastSession("user-42", "sqlite:///agent.db")
    result = await Runner.run(agent, "hello", session=session)

Source of the interface: `agents.memory.session.Session`, release 0.24.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import dropwhile
from typing import TYPE_CHECKING, Any, cast

from stowfast.adapters.closing import WithClose
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.adapters.outcomes import outcome_of
from stowfast.errors import ConflictError, InvalidError
from stowfast.plain_json import to_json

with extra("openai-agents"):
    from agents.memory.session_settings import SessionSettings, coerce_session_settings, resolve_session_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from agents import RunContextWrapper
    from agents.items import TResponseInputItem

    from stowfast import sync
    from stowfast.stores import Stores

__all__ = ["StowfastSession"]

_HISTORY = ("get_items", "add_items", "pop_item", "clear_session")


class StowfastSession(WithClose):
    """A session of the OpenAI Agents SDK: its items are the messages of the conversation with the session's id.

    Items that were added are stored, once and in order, in every process, also after a crash: all items of a call, or
    none. A lost answer is repeated inside. A cancelled change is made or not made before the caller sees the
    cancellation. Sessions of one URL share its opening. Safe in several event loops.

    Two runs at once on one session lose nothing, but their items interleave; and a run that rewinds a failed turn may
    pop an item of the other. So run one turn at a time.

    Args:
        session_id: the id of the conversation, in `messages` with `/`, `%` and the like percent-encoded.
        stores: a URL, or open stores of either face.
        session_settings: the settings of the SDK. Its `limit` is the number of newest items that a run reads.
        scope: the scope of the stores to use, such as a tenant.
        ttl: the session ends so long after the last items that were added. None: never.
        within: the time for repeats of a call without an answer.
        options: options for the URL.

    Raises:
        TypeError: `session_settings` has an unknown setting.
        InvalidError: `stores` is neither a URL nor open stores.
    """

    def __init__(
        self,
        session_id: str,
        stores: str | Stores | sync.Stores,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        scope: str | None = None,
        ttl: timedelta | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self.session_id = session_id
        self.session_settings: SessionSettings | None = coerce_session_settings(session_settings or {})
        self.ttl = ttl
        self._opener = Opener(stores, scope=scope, within=within, **options)

    @property
    def _context_id(self) -> str:
        return joined(self.session_id)

    async def get_items(
        self, limit: int | None = None, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> list[TResponseInputItem]:
        """Return the items, oldest first.

        Args:
            limit: only the newest so many; all if negative. Default: the limit of the settings.
            wrapper: the context of the run, for subclasses.

        Raises:
            InvalidError: the session's id is empty.
            UnavailableError: no answer for the time of `within`.
        """
        limit = resolve_session_limit(limit, self.session_settings)
        messages = (await self._opener.open()).messages
        last = None if limit is None or limit < 0 else limit
        return cast("list[TResponseInputItem]", await messages.get_messages(self._context_id, last=last))

    async def add_items(
        self, items: list[TResponseInputItem], *, wrapper: RunContextWrapper[Any] | None = None
    ) -> None:
        """Add items at the end: all or none.

        Raises:
            TypeError: an item has no JSON form. Nothing was stored.
            InvalidError: the session's id is empty, or an item is no JSON object. Nothing was stored.
            UnavailableError: no answer for the time of `within`. The items may be stored: read before you add again.
        """
        if not items:
            return
        plain = _plain(items)
        messages = (await self._opener.open()).messages
        await outcome_of(messages.add_messages(self._context_id, plain, ttl=self.ttl))

    async def pop_item(self, *, wrapper: RunContextWrapper[Any] | None = None) -> TResponseInputItem | None:
        """Remove and return the newest item; None without one. Two callers never get the same item.

        Raises:
            UnavailableError: no answer for the time of `within`. The item may be removed.
        """
        messages = (await self._opener.open()).messages
        return cast("TResponseInputItem | None", await outcome_of(messages.pop_message(self._context_id)))

    async def clear_session(self, *, wrapper: RunContextWrapper[Any] | None = None) -> None:
        """Delete the session.

        Raises:
            UnavailableError: no answer for the time of `within`. The session may be deleted: call it again.
        """
        messages = (await self._opener.open()).messages
        await outcome_of(messages.delete(self._context_id))

    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: Callable[[TResponseInputItem], bool] | None = None
    ) -> _Snapshot | None:
        """Return the newest items, for `OpenAIResponsesCompactionSession`: it replaces them in one commit.

        Without this it deletes the session, then adds the summary: a crash between the two loses the conversation.
        """
        # A subclass that changes the items on their way must not be passed by.
        if any(getattr(type(self), name) is not getattr(StowfastSession, name) for name in _HISTORY):
            return None
        messages = (await self._opener.open()).messages
        found = await messages.read(self._context_id, last=limit)
        info = found.info

        async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
            replaced = found.entries[start:]
            if info is None or not replaced:
                return False
            first, items = replaced[0].position, _plain(output)
            if prune_prefix is not None and not info.compacted:
                older = await messages.get_messages(self._context_id, before=first)
                left = list(dropwhile(cast("Callable[[Any], bool]", prune_prefix), older))
                if len(left) < len(older):
                    first, items = 0, left + items
            change = messages.replace_messages(self._context_id, items, start=first, if_token=info.token)
            try:
                await outcome_of(change)
            except ConflictError:
                return False
            return True

        complete = info is None or (not info.compacted and info.count == len(found.entries))
        stored = cast("list[TResponseInputItem]", [entry.message for entry in found.entries])
        return _Snapshot(stored, complete, replace_suffix)


@dataclass(frozen=True)
class _Snapshot:
    """The newest items as `agents.memory.session._CompactionSnapshot` names them. That class is private."""

    items: list[TResponseInputItem]
    complete: bool
    """True: there are no older items."""
    replace_suffix: Callable[[int, list[TResponseInputItem]], Awaitable[bool]]
    """Replaces the items from an index on, unless the session has changed; tells whether it did."""


def _plain(items: Iterable[TResponseInputItem]) -> list[dict[str, Any]]:
    plain: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        try:
            plain.append(to_json(item))
        except InvalidError as error:
            raise TypeError(f"item {number}: {error}") from error
    return plain
