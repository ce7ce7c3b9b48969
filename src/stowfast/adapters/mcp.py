"""Model Context Protocol: the events of a server's streams, for clients whose connection was cut.

Works with the session manager of the MCP SDK and with FastMCP. Streamable HTTP of the protocol: a client that comes
back names the last event it got in `Last-Event-ID`, and gets all later events of that stream.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import aclosing, suppress
from datetime import timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from stowfast.adapters.closing import WithClose
from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError, InvalidError, StowfastError

with extra("mcp"):
    from mcp.server.streamable_http import EventMessage, EventStore
    from mcp_types import jsonrpc_message_adapter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.server.streamable_http import EventCallback
    from mcp_types import JSONRPCMessage

    from stowfast import sync
    from stowfast.records import MessageEntry
    from stowfast.stores import Messages, Stores

__all__ = ["StowfastEventStore"]

_EVENT_ID: Final = re.compile(r"([0-9]{1,18})\.([0-9a-f]{16})@(.*)", re.ASCII)
_log: Final = logging.getLogger(__name__)


class StowfastEventStore(WithClose, EventStore):
    """An event store of `mcp.server.streamable_http` over Stowfast. One stream of events is one conversation.

    After `store_event` returns, an event is stored: every process replays it, once and in order, also after a crash.
    Writers of several processes may add to one stream. An event id is `position.random@stream`: it names the place of
    the event, and nobody can guess it.

    Args:
        stores: a URL, or open stores.
        scope: the scope of these stores to use.
        ttl: the time that a stream is kept after its newest event; None: for ever.
        max_events: the newest events of a stream that are always kept, at least 1. Older ones are removed once there
            are as many again.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        InvalidError: `max_events` is not a number of 1 or more.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        ttl: timedelta | None = timedelta(hours=1),
        max_events: int = 1_000,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        if type(max_events) is not int or max_events < 1:
            raise InvalidError(f"max_events must be an int of 1 or more, not {max_events!r}")
        self._ttl, self._max_events = ttl, max_events
        self._opener = Opener(stores, scope=scope, within=within, **options)

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Add an event at the end of a stream, and return its id. None marks the beginning of a connection.

        A call that was cancelled has stored the event wholly or not at all.

        Raises:
            InvalidError: JSON cannot carry the message, or it has over 64 MiB. Nothing was stored.
            UnavailableError: no answer came. The event may be stored, and a replay may show it.
        """
        # The bytes of the wire: a replay then sends exactly what was sent first, absent fields included.
        event = None if message is None else json.loads(message.model_dump_json(by_alias=True, exclude_unset=True))
        random, context_id = token_hex(8), joined("mcp", stream_id)
        messages = (await self._opener.open()).messages
        position = await messages.add_message(context_id, {"event": event}, op_id=random, ttl=self._ttl)
        if position and position % self._max_events == 0:
            await self._trim(context_id)
        return f"{position}.{random}@{quote(stream_id, safe='', errors='surrogatepass')}"

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send all events behind an event of a stream, in order, and return the stream's id.

        Events that are stored during the replay are sent, too. A stream that expires or is deleted ends it there.

        Returns:
            None if the event is unknown: never stored, expired or removed. Nothing was sent.

        Raises:
            DamagedError: a stored event does not decode. The events so far were sent.
            UnavailableError: no answer came. The events so far were sent.
        """
        found = _EVENT_ID.fullmatch(last_event_id)
        if found is None:
            return None
        position, random, stream_id = int(found[1]), found[2], unquote(found[3], errors="surrogatepass")
        messages = (await self._opener.open()).messages
        async with aclosing(_entries(messages, joined("mcp", stream_id), position)) as entries:
            first = await anext(entries, None)
            # A stream that was begun again has the position, too, but with another random number.
            if first is None or first.position != position or first.op_id != random:
                return None
            async for entry in entries:
                with decoding(f"the stream {stream_id!r}"):
                    event = entry.message["event"]
                    message = None if event is None else jsonrpc_message_adapter.validate_python(event)
                if message is not None:
                    event_id = f"{entry.position}.{entry.op_id}@{found[3]}"
                    await send_callback(EventMessage(message, event_id))
        return stream_id

    async def _trim(self, context_id: str) -> None:
        messages = (await self._opener.open()).messages
        try:
            await messages.compact(context_id, keep_last=self._max_events, summary=None, drop=True)
        except StowfastError as error:
            # The event is stored. The next removal takes these events, too.
            _log.warning("old events of a stream were not removed: %s", type(error).__name__)


async def _entries(messages: Messages, context_id: str, position: int) -> AsyncGenerator[MessageEntry, None]:
    """Yield the entries from a position on, as long as their stream is there."""
    async with aclosing(messages.entries(context_id, after=position - 1)) as entries:
        with suppress(ConflictError):  # deleted between two pages: nothing is left to send
            async for entry in entries:
                yield entry
