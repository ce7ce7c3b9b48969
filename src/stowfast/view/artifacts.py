"""The pages of artifacts: the list, one version with a preview, its content, a text difference, and a live one."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Route

from stowfast.errors import InvalidError
from stowfast.view.pages import Site, branches, indented, markdown, number, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from stowfast.records import ArtifactInfo

__all__ = ["routes"]

_LISTED: Final = 50
_ROWS: Final = 100
_PREVIEW_BYTES: Final = 2**18
_DIFF_BYTES: Final = 2**20
_INLINE: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "application/pdf"})
"""The types of content that a browser shows itself. SVG and HTML are none of them: both may hold a script."""


def routes(site: Site) -> list[Route]:
    """Return the routes of these pages."""
    pages = _Artifacts(site)
    return [
        Route("/artifacts", pages.index),
        Route("/artifact", pages.show),
        Route("/content", pages.content),
        Route("/difference", pages.difference),
        Route("/follow", pages.follow),
    ]


class _Artifacts:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._artifacts = site.stores.artifacts

    async def index(self, request: Request) -> Response:
        told = request.query_params
        page = await self._artifacts.list(
            prefix=told.get("prefix", ""), context_id=told.get("context") or None, after=told.get("after") or None,
            limit=_LISTED,
        )  # fmt: skip
        return self._site.page("artifacts.html", page=page, told=told)

    async def _info(self, request: Request) -> ArtifactInfo:
        info = await self._artifacts.info(text_of(request, "id"), version=number(request, "version"))
        if info is None:
            raise HTTPException(404, "There is no such version of an artifact: it was deleted, or it expired.")
        return info

    async def show(self, request: Request) -> Response:
        info = await self._info(request)
        versions = await self._artifacts.versions(info.artifact_id)
        start = number(request, "row") or 0
        kind, preview = await self._preview(info, start)
        return self._site.page(
            "artifact.html", info=info, versions=versions[::-1], kind=kind, preview=preview, start=start, step=_ROWS
        )

    async def _preview(self, info: ArtifactInfo, start: int) -> tuple[str, Any]:
        mime = (info.mime_type or "").partition(";")[0].strip().lower()
        if info.state == "live":
            return "live", ""
        if info.kind == "dataset":
            rows = []
            async for row in self._artifacts.rows(info.artifact_id, version=info.version):
                rows.append(row)
                if len(rows) >= start + _ROWS:
                    break
            return "table", rows[start:]
        if mime in _INLINE:
            return ("picture" if mime.startswith("image/") else "pdf"), None
        text = await self._text(info, _PREVIEW_BYTES)
        if text is None:
            return "bytes", None
        if mime == "text/markdown":
            return "markdown", markdown(text)
        if info.kind == "data" or mime == "application/json" or mime.endswith("+json"):
            value = branches(text)
            return ("text", indented(text)) if value is None else ("tree", value)
        return "text", text

    async def _text(self, info: ArtifactInfo, limit: int) -> str | None:
        """Return the beginning of a text; None if these bytes are no text."""
        stop = min(info.size, limit)
        async with self._artifacts.open_reader(info.artifact_id, version=info.version, stop=stop) as reader:
            data = b"".join([piece async for piece in reader])
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            # The cut may have split the last character.
            return data[: error.start].decode() if stop < info.size and len(data) - error.start < 4 else None

    async def content(self, request: Request) -> Response:
        info = await self._info(request)
        mime = (info.mime_type or "").partition(";")[0].strip().lower()
        inline = mime in _INLINE and request.query_params.get("download") is None
        name = quote((info.name or info.artifact_id).rpartition("/")[2] or "artifact", safe="", errors="replace")
        headers = {
            "content-disposition": f"{'inline' if inline else 'attachment'}; filename*=UTF-8''{name}",
            "content-length": str(info.size),
            # An origin of its own, without scripts: nothing in a document reaches these pages. Not as an attribute of
            # the frame: Chromium shows no PDF in one with `sandbox`, whatever it allows.
            "content-security-policy": "sandbox",
        }
        media = mime if inline else "application/octet-stream"
        return StreamingResponse(self._pieces(info), media_type=media, headers=headers)

    async def _pieces(self, info: ArtifactInfo) -> AsyncIterator[bytes]:
        async with self._artifacts.open_reader(info.artifact_id, version=info.version) as reader:
            async for piece in reader:
                yield piece

    async def difference(self, request: Request) -> Response:
        name, old, new = text_of(request, "id"), number(request, "from"), number(request, "to")
        texts = []
        for version in (old, new):
            info = await self._artifacts.info(name, version=version)
            if info is None:
                raise HTTPException(404, "There is no such version.")
            text = await self._text(info, _DIFF_BYTES) if info.size <= _DIFF_BYTES else None
            if text is None:
                raise HTTPException(400, "Only texts up to 1 MiB are compared.")
            texts.append(text.splitlines())
        lines = difflib.unified_diff(texts[0], texts[1], f"version {old}", f"version {new}", lineterm="")
        return self._site.page("difference.html", name=name, old=old, new=new, lines=list(lines))

    async def follow(self, request: Request) -> Response:
        """Return a live artifact as events, each a line of JSON with the next text."""
        return StreamingResponse(self._feed(text_of(request, "id")), media_type="text/event-stream")

    async def _feed(self, name: str) -> AsyncIterator[str]:
        try:
            async for piece in self._artifacts.follow(name):
                yield f"data: {json.dumps(piece.decode(errors='replace'))}\n\n"
        except InvalidError as error:
            yield f"data: {json.dumps(f'[{error}]')}\n\n"
        yield "event: end\ndata: \n\n"
