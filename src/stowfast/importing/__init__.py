"""Importing: conversations out of the storage of other libraries, so that our adapter for the library finds them.

Agno, looopy and the Pydantic AI harness have no adapter: their conversations, tasks and artifacts are for the stores.

    imported = await importing.import_from("openai-agents", "sessions.db", "sqlite:///agent.db")

The source is only read, and its library is not needed. A repeat adds what is new in the source, and nothing twice.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, closing
from typing import TYPE_CHECKING

from stowfast.importing.options import SourceOptions
from stowfast.importing.sources import KINDS, open_source
from stowfast.importing.writing import StreamWriter
from stowfast.moving import Copied
from stowfast.moving.results import reporter
from stowfast.names import check_text
from stowfast.registry import connect
from stowfast.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "import_from"]


async def import_from(
    kind: str,
    source: str,
    target: str | Stores,
    *,
    into: str | None = None,
    tables: dict[str, str] | None = None,
    key: str | None = None,
    keep_encrypted: bool = False,
    progress: Callable[[Copied], None] | None = None,
) -> Copied:
    """Import all conversations of a source, with their times, under the ids that our adapter gives them.

    Up to 16 MiB of a conversation are one commit. After an interruption, a kill or a lost answer call it again: it adds
    the rest, and messages that are new in the source. A conversation that was changed at the target meanwhile, or that
    holds something that JSON cannot store, is left as it is and named in `Copied.differences`. One that was deleted at
    the target comes back. No code of the source runs, no pickled value is loaded.

    Args:
        kind: one of `KINDS`.
        source: a file, a folder or a URL, by the kind.
        target: a URL, or stores.
        into: the scope at the target to import into.
        tables: the names of renamed tables, by those that the library gives them, such as
            `{"agent_messages": "chat_messages"}`.
        key: the `encryption_key` of `EncryptedSession`: its items are decrypted, of any age. Without it, a conversation
            with encrypted items is named in `Copied.differences`. The key is in no error and no log.
        keep_encrypted: such items stay encrypted: `EncryptedSession` over our session reads them.
        progress: called with the counts so far, after each step.

    Returns:
        The counts. `complete` tells whether the target has everything.

    Raises:
        InvalidError: the kind is unknown or has no such option, or the source is not of this kind.
        UnsupportedError: a library that the source needs is missing. The error names the extra.
        DamagedError: the source is damaged. All that was read before the damage is imported.
        UnavailableError: source or target give no answer. Call again.
    """
    check_text(source, "source")
    options = SourceOptions({} if tables is None else tables, key, keep_encrypted)
    done, report = Copied(), reporter(progress)
    with ExitStack() as opened:
        streams = opened.enter_context(closing(open_source(kind, source, options, opened)))
        async with AsyncExitStack() as stack:
            if isinstance(target, Stores):
                backend = target.backend
            else:
                backend = await connect(target)
                stack.push_async_callback(backend.close)
            if into is not None:
                backend = Stores(backend).within(into).backend
            await StreamWriter(backend, done, report).write(streams)
    return done
