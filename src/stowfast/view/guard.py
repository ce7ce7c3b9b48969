"""The guard before each request of the viewer: a page of a browser on this machine, opened by its printed address.

A site on the internet can send requests to any address on loopback, also under a name of its own that points there
(DNS rebinding). So a request needs the exact `Host`, the cookie, and no other site as its origin.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Passes on a request of the reader, and refuses any other.

    | request | answer |
    |---|---|
    | another `Host` than those given | 421 |
    | a method other than GET and HEAD | 405 |
    | asked for by another site (`Sec-Fetch-Site`) | 403 |
    | with the token of the printed address | a cookie, and a redirect to the address without the token |
    | without the cookie | 401 |

    Args:
        app: the application behind.
        token: the secret of the printed address.
        hosts: the valid values of `Host`, with their port.
        cookie: the name of the cookie.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str], cookie: str) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(hosts)
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.append("content-security-policy", _POLICY)  # beside a stricter one: a browser obeys both
            await send(message)

        await (refusal or self._app)(scope, receive, send_on)

    def _refusal(self, scope: Scope) -> PlainTextResponse | RedirectResponse | None:
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return PlainTextResponse("This address is not served here.", 421)
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("The viewer only reads.", 405, {"allow": "GET, HEAD"})
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            # A link on another site leads here, too: it shows nothing, and the reader asks again without it.
            return PlainTextResponse("Another site asked for this page.", 403)
        told = parse_qs(scope["query_string"].decode("latin-1"), encoding="utf-8").get("token", [])
        if scope["path"] == "/" and len(told) == 1 and self._is_token(told[0]):
            response = RedirectResponse("/", 303)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return response
        if not self._is_token(_cookie_of(headers, self._cookie)):
            return PlainTextResponse("Open the address that the command printed.", 401)
        return None

    def _is_token(self, told: str) -> bool:
        return secrets.compare_digest(told.encode(), self._token.encode())


def _cookie_of(headers: Headers, name: str) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""
