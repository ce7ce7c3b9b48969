"""Failures without an answer of an object store: connection, TLS, proxy, login page."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # its stub lacks it

from stowfast.errors import InvalidError, StowfastError, UnavailableError

__all__ = ["NO_STORE", "proxy_of", "transport_error"]

NO_STORE: Final = (
    "the answer is not that of an object store: the login page of a network or a proxy is in between, or endpoint_url= "
    "is wrong"
)

_KIND: Final = re.compile(r"\bkind: (Timeout|Connect|Request|Interrupted|Decode)\b")
_REASON: Final = re.compile(r'\b(?:message|error): "([^"\\]{1,120})"')
_CERTIFICATE: Final = re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w{1,40}?)(?:Context)?\b")
_STRANGE: Final = re.compile(r"ETag Header missing|Got invalid \w+(?: \w+)? response|invalid list response")

_CERTIFICATES: Final = {
    "UnknownIssuer": "by an issuer that is not trusted here: give the issuer's certificate with ca_bundle=",
    "NotValidForName": "for another host: correct endpoint_url=, or the server's certificate; no ca_bundle= helps",
    "CaUsedAsEndEntity": (
        "that of an authority, and not of a server: make one for the server with this authority, and give the "
        "authority's with ca_bundle="
    ),
    "Expired": "over, or this machine's clock is wrong; no ca_bundle= helps",
    "NotValidYet": "not valid yet, or this machine's clock is wrong; no ca_bundle= helps",
}


def transport_error(text: str, debug: str) -> tuple[type[StowfastError], str]:
    """Return the class and the text for an error of the driver without a status of the store."""
    if word := _first(_CERTIFICATE, debug):
        why = _CERTIFICATES.get(word, "refused: check the file of ca_bundle=")
        return InvalidError, f"the server's certificate is {why} ({word})"
    if "InvalidMessage(" in debug:
        return InvalidError, "the server does not speak TLS: write http: instead of https: in endpoint_url="
    if _STRANGE.search(text):
        return UnavailableError, NO_STORE
    if "following redirect" in text:
        return UnavailableError, "redirected again and again: is the login page of a network in between?"
    kind, reason = _first(_KIND, debug), _first(_REASON, debug)
    if kind == "Timeout":
        return UnavailableError, "no answer in time"
    if kind == "Connect":
        return UnavailableError, f"cannot connect{f' ({reason})' if reason else ''}"
    return UnavailableError, "the connection broke"


def proxy_of(url: str) -> str | None:
    """Return the environment variable whose proxy the driver uses for a URL, None for none. Its value may be secret."""
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    if proxy_bypass_environment(host):
        return None
    names = (f"{scheme.upper()}_PROXY", f"{scheme}_proxy", "ALL_PROXY", "all_proxy")
    return next((name for name in names if os.environ.get(name)), None)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
