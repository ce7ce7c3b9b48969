"""A DELETE with `If-Match`. The driver has none, but it signs a URL for a DELETE: Python's HTTP client sends it there.

The signature is in the URL, so the URL is a secret while it is valid. It is in no error, log or repr. The header needs
no signature: Amazon demands one of its own headers (`x-amz-...`) only.
"""

from __future__ import annotations

import http.client
import os
import ssl
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from stowfast.backends.objects.driver.transport import proxy_of
from stowfast.blocking import alone
from stowfast.errors import StowfastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.request import OpenerDirector

__all__ = ["ConditionalRemover"]

_DONE: Final = {202, 204}
"""Of Azure, of S3. A web page with 200 is no store's answer."""
_VALID: Final = timedelta(minutes=15)
"""As long as a signed header of S3. The clocks of two machines differ by seconds."""
_BODY: Final = 2**16


class _NoRedirects(HTTPRedirectHandler):
    """A redirect is a refusal: the signature is for this address alone."""

    def redirect_request(self, *_: object) -> None:
        return None


class ConditionalRemover:
    """Removes keys under a condition. Blocking, from any number of threads.

    Args:
        sign: returns a URL for a DELETE of a key.
        form: returns an ETag in the form of the store.
        timeout: seconds until the server must have said something.
        bundle: path of certificates to trust beside the system's.
    """

    def __init__(
        self,
        sign: Callable[[str, timedelta], str],
        form: Callable[[str | None], str | None],
        *,
        timeout: float,
        bundle: str | None,
    ) -> None:
        self._sign = sign
        self._form = form
        self._timeout = timeout
        self._bundle = bundle
        self._opener: OpenerDirector | None = None
        self._lock = threading.RLock()
        self.refusal = ""
        """The last refusal: a status, or the type of an error. Without its text, which may hold the URL."""

    def __call__(self, key: str, e_tag: str | None) -> bool | None:
        """Remove a key while its content has this ETag. True: done. None: refused, or no proof."""
        condition = self._form(e_tag)
        if condition is None or not (condition.isascii() and condition.isprintable()):
            return None
        try:
            url = self._sign(key, _VALID)
            # The driver has signed it for the endpoint of this place, which is http or https.
            request = Request(url, method="DELETE", headers={"If-Match": condition})  # noqa: S310
            with self._opened(url).open(request, timeout=self._timeout) as answer:
                answer.read(_BODY)
                status = answer.status
        except HTTPError as error:
            status = error.code
            error.close()
        except (StowfastError, OSError, ValueError, http.client.HTTPException) as error:
            # Say SSLCertVerificationError, TimeoutError; or of credentials that cannot sign.
            self.refusal = type(getattr(error, "reason", None) or error).__name__
            return None
        if status in _DONE:
            return True
        self.refusal = str(status)
        return None

    def _opened(self, url: str) -> OpenerDirector:
        """Return the client: it goes through the proxy of the driver, and trusts the same certificates."""
        with alone(self._lock):
            if self._opener is None:
                variable = proxy_of(url)
                proxies = {urlsplit(url).scheme: os.environ[variable]} if variable else {}
                context = ssl.create_default_context()
                if self._bundle:
                    context.load_verify_locations(str(Path(self._bundle).expanduser()))
                self._opener = build_opener(ProxyHandler(proxies), HTTPSHandler(context=context), _NoRedirects)
            return self._opener
