"""The application: all pages behind the guard."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from stowfast.errors import DamagedError, InvalidError, NotFoundError, StowfastError
from stowfast.view import artifacts, conversations, place, tasks
from stowfast.view.guard import Guard
from stowfast.view.pages import Site

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from stowfast.stores import Stores

__all__ = ["make_app"]

_STATIC: Final = {"app.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml"}


def make_app(
    stores: Stores, address: str, *, scopes: Sequence[str] = (), token: str, hosts: Collection[str], cookie: str
) -> ASGIApp:
    """Return the viewer of open stores as an ASGI application.

    Args:
        stores: the stores to show. The application never writes.
        address: their URL without its secrets, for the head of each page.
        scopes: the scopes around the stores, the outermost first.
        token: the secret of the first address, `/?token=...`.
        hosts: the valid `Host` headers, with their port.
        cookie: the name of the cookie.
    """
    site = Site(stores, address, scopes)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404, "There is no such page.")
        return Response(files("stowfast.view").joinpath("static", name).read_bytes(), media_type=_STATIC[name])

    def failed(_: Request, error: Exception) -> Response:
        code, sentence = _told(error)
        page = site.page("error.html", code=code, sentence=sentence)
        page.status_code = code
        return page

    routes = [*conversations.routes(site), *artifacts.routes(site), *tasks.routes(site), *place.routes(site)]
    routes.append(Route("/static/{name}", static))
    handlers: dict[Any, Any] = {HTTPException: failed, StowfastError: failed}
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, token=token, hosts=hosts, cookie=cookie)


def _told(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    codes: dict[type[Exception], int] = {NotFoundError: 404, InvalidError: 400, DamagedError: 500}
    return codes.get(type(error), 503), str(error)
