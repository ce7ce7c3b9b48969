"""The search of the list of conversations: one text with a beginning of ids and pairs of metadata."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.records import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.records import ContextInfo
    from stowfast.stores import Messages

__all__ = ["Wanted", "find", "wanted"]

_LISTED: Final = 50
_LOOKED_AT: Final = 1_000
_PAIR: Final = re.compile(r"""([^\s="']+)=("[^"]*"|\S+)""")
"""A key with its value, which is in quotes where it has spaces."""


@dataclass(frozen=True)
class Wanted:
    """The conversations to list. `text` is the beginning of an id, or a part of an id, a title or the metadata."""

    text: str = ""
    where: dict[str, Any] = field(default_factory=dict)


def wanted(typed: str, prefix: str = "", where: str = "") -> Wanted:
    """Return the meaning of a search: `support/ user=ada` is a beginning of ids with a pair of the metadata.

    Args:
        typed: the text of the box.
        prefix: the beginning of ids alone.
        where: one pair alone. Its value may have spaces.

    Raises:
        InvalidError: `where` is no pair.
    """
    pairs = dict(_PAIR.findall(typed))
    if where.strip():
        key, mark, value = where.partition("=")
        if not mark or not key.strip():
            raise InvalidError("the filter is a key of the metadata with its value, such as user=ada")
        pairs[key.strip()] = value
    text = " ".join(_PAIR.sub(" ", typed).split())
    return Wanted(prefix or text, {key: _value(value) for key, value in pairs.items()})


async def find(
    messages: Messages, what: Wanted, after: str | None, title_of: Callable[[ContextInfo], str]
) -> tuple[Page[ContextInfo], int]:
    """Return a page of conversations, the last changed first.

    Where no id begins with the text, it is looked for inside of the ids, metadata and titles of the newest ones.

    Args:
        messages: the conversations.
        what: the text and the metadata.
        after: the `next` of the page before.
        title_of: returns the title of a conversation as far as it is known without a read.

    Returns:
        The page, and the number of conversations that were looked through for the text; 0: ids begin with it.
    """
    where = what.where or None
    page = await messages.contexts(prefix=what.text, where=where, after=after, limit=_LISTED, info=True)
    if page.items or page.damaged or not what.text or after is not None:
        return page, 0
    some = await messages.contexts(where=where, limit=_LOOKED_AT, info=True)
    sought = what.text.casefold()
    found = [one for one in some if sought in f"{one.context_id} {title_of(one)} {_told(one)}".casefold()]
    return Page(found[:_LISTED], None), len(some)


def _told(info: ContextInfo) -> str:
    return json.dumps(list(info.metadata.values()), ensure_ascii=False) if info.metadata else ""


def _value(text: str) -> Any:
    """Return a value of a pair: JSON if it can be, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
