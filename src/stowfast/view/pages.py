"""What all pages share: templates, the escape of stored text, and the arguments of a request."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from stowfast.words import many, plain, size, span, time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from stowfast.stores import Stores

__all__ = ["Site", "branches", "indented", "link", "markdown", "number", "picture_is_safe", "pretty", "text_of"]

_MAX_SHOWN: Final = 200_000
"""Characters of one text on a page."""


class Site:
    """The open stores, and the templates of their pages.

    Args:
        stores: open stores.
        address: their URL without its secrets.
        scopes: the scopes around the stores, the outermost first.
    """

    def __init__(self, stores: Stores, address: str, scopes: Sequence[str] = ()) -> None:
        self.stores = stores
        self._templates = Environment(
            loader=PackageLoader("stowfast.view"), autoescape=True, undefined=StrictUndefined, finalize=_shown
        )
        # `exact` is for a value that nobody sees and that comes back with a form.
        self._templates.filters.update(many=many, size=size, time=time, span=span, age=_age)
        self._templates.filters.update(pretty=pretty, cut=_cut, indented=indented, exact=escape, speech=_speech_of)
        self._templates.globals.update(
            link=link, quoted=json.dumps, address=address, scopes=scopes, picture_is_safe=picture_is_safe
        )

    def page(self, template: str, /, **values: Any) -> HTMLResponse:
        """Return a page."""
        return HTMLResponse(self.part(template, **values))

    def part(self, template: str, /, **values: Any) -> str:
        """Return a part of a page."""
        return self._templates.get_template(template).render(values)


def _shown(value: Any) -> Any:
    # Markup is ours, or made from stored text that passed through here.
    return value if isinstance(value, Markup) or not isinstance(value, str) else plain(value)


def _age(moment: datetime) -> str:
    """Return the time since a moment in words. The clock of the backend may be ahead of ours."""
    length = datetime.now(UTC) - moment
    return f"{span(length)} ago" if length > timedelta(0) else "just now"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… {many(len(text) - _MAX_SHOWN, 'more character')}"


def link(path: str, **arguments: Any) -> str:
    """Return the address of a page. Ids are arguments, never a part of the path: an id may hold any character."""
    given = {name: value for name, value in arguments.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, errors='surrogatepass')}" if given else path


_PICTURE: Final = re.compile(r"data:image/(png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=_-]*")


def picture_is_safe(source: str) -> bool:
    """Return True for a picture inside of its message. A browser asks nobody for it."""
    return _PICTURE.fullmatch(source) is not None


def pretty(value: Any) -> str:
    """Return a value as indented JSON."""
    return _cut(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def indented(text: str) -> str:
    """Return JSON with its lines indented, and any other text as it is."""
    if text[:1] not in ("{", "["):
        return _cut(text)
    try:
        return pretty(json.loads(text))
    except (ValueError, RecursionError):
        return _cut(text)


_MAX_BRANCHES: Final = 5_000
_MAX_DEPTH: Final = 40


def branches(text: str) -> dict[str, Any] | list[Any] | None:
    """Return JSON to be shown as a tree; None if it is no object and no list, or too large or deep for a page."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    left, level = _MAX_BRANCHES, [value]
    for _ in range(_MAX_DEPTH):
        left -= len(level)
        level = [inner for one in level for inner in _inner(one)] if left > 0 else level
    return value if isinstance(value, dict | list) and left > 0 and not level else None


def _inner(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


_OPTIONS: Final = {"html": False, "linkify": False}
# Without pictures: one from outside would report the reader.
_documents: Final = MarkdownIt("js-default", _OPTIONS).disable("image")
_speech: Final = MarkdownIt("js-default", {**_OPTIONS, "breaks": True}).disable(["image", "reference"])
"""In a message each line stays a line, as its author may not have thought of Markdown."""
_MAX_SPEECH: Final = 10_000
"""Characters of a message shown as Markdown: fifty of them are a page."""
_MAX_MARKS: Final = 500
"""Marks of such a message. The time for some of them grows with the square of their number."""


def markdown(text: str) -> Markup:
    """Return Markdown as HTML. HTML in the text stays text, and links of unsafe schemes are no links."""
    # Its renderer escapes all text of the source.
    return Markup(_documents.render(plain(text[:_MAX_SHOWN])))  # noqa: S704


def _speech_of(text: str) -> Markup | str:
    """Return a text of an assistant as HTML; "" if that would take too long."""
    if len(text) > _MAX_SPEECH or sum(map(text.count, "*_[`")) > _MAX_MARKS:
        return ""
    return Markup(_speech.render(plain(text)))  # noqa: S704


def text_of(request: Request, name: str) -> str:
    """Return an argument of a request.

    Raises:
        HTTPException: 400, it is absent.
    """
    value = request.query_params.get(name)
    if value is None:
        raise HTTPException(400, f"the address lacks {name}=")
    return value


def number(request: Request, name: str) -> int | None:
    """Return a whole number from a request, or None.

    Raises:
        HTTPException: 400, it is no number of at most 18 digits.
    """
    value = request.query_params.get(name)
    if not value:
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise HTTPException(400, f"{name}= is no number")
    return int(value)
