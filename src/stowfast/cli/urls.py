"""URLs of backends: open one, and print one without its secrets."""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, unquote_to_bytes

import stowfast
from stowfast.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from stowfast import Opening, Stores

__all__ = [
    "BUCKETS",
    "check_existing",
    "existing",
    "looking",
    "opened",
    "scrub",
    "shown",
    "sqlite_path",
    "sqlite_url",
    "within",
]

_TELLING: Final = ("key", "secret", "token", "password", "passwd", "pwd", "sig", "credential")
_SHORT: Final = 4
BUCKETS: Final = ("s3", "gs", "az")
"""The schemes of object storage."""
_HARMLESS: Final = re.compile(r"[\w.-]{1,19}|https?://[\w.-]+(:\d+)?/?|\.{0,2}(/[\w.-]{1,31})+")
"""The value of an option, fit to be repeated by an error: a word or two, an address, a path. A key is longer."""
_KEY_LIKE: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w+=.~-]{32,}", re.ASCII)
"""A part of a path in the form of a secret key: long, with capitals, small letters and digits."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def existing(url: str, **options: Any) -> Opening:
    """Open an existing backend.

    `stowfast.open` creates an absent SQLite file, and fills an empty one. A command for reading must not: a mistyped
    path is an error, not a new file.

    Raises:
        NotFoundError: there is no such file, or it is empty.
        InvalidError: as `opened` does.
    """
    check_existing(url)
    return opened(url, **options)


def looking(url: str, scopes: Sequence[str] | None = None) -> AbstractAsyncContextManager[Stores]:
    """Open an existing backend for a command that only looks: nothing is written to a bucket, nor tested.

    Raises:
        As `existing` and `within`.
    """
    is_bucket = url.partition(":")[0].lower() in BUCKETS and "read_only=" not in url.partition("?")[2]
    return within(existing(url, **({"read_only": True} if is_bucket else {})), scopes)


@asynccontextmanager
async def within(opening: Opening, scopes: Sequence[str] | None) -> AsyncIterator[Stores]:
    """Enter an opening, and yield its stores: of the last scope, each inside the one before; without any, of none.

    Raises:
        InvalidError: the name of a scope is outside its bounds.
    """
    async with opening as outer:
        stores = outer
        for scope in scopes or ():
            stores = stores.within(scope)
        yield stores


def check_existing(url: str) -> None:
    """Check that the SQLite file of a URL exists and is not empty.

    Raises:
        NotFoundError: it does not, or it is.
    """
    path = sqlite_path(url)
    if path is not None and path.name:
        if not path.exists():
            raise NotFoundError(f"there is no file {path}")
        if path.is_file() and path.stat().st_size == 0:
            raise NotFoundError(f"the file {path} is empty: nothing is stored in it")
    _refuse_path(url)


def opened(url: str, **options: Any) -> Opening:
    """Open a backend.

    Raises:
        InvalidError: it is a path where a URL belongs. The error has the URL of that file.
    """
    _refuse_path(url)
    return stowfast.open(url, **options)


def _refuse_path(url: str) -> None:
    if not _SCHEME.match(url) and (url.endswith((".db", ".sqlite", ".sqlite3")) or os.path.isfile(url)):
        raise InvalidError(f"{url!r} is a path, no URL: did you mean {sqlite_url(Path(url))} ?")


def sqlite_path(url: str) -> Path | None:
    """Return the path of the file that a URL names; None if it names none."""
    address = url.partition("?")[0]
    if address[:7].lower() != "sqlite:" or not address[7:].startswith("///"):
        return None
    return Path(os.fsdecode(unquote_to_bytes(address[10:].encode("utf-8", "surrogateescape"))))


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file. Special characters of the path are quoted."""
    return f"sqlite:///{quote(str(path))}"


def shown(url: str) -> str:
    """Return a URL as it may be printed: without user, password and options."""
    address = url.partition("?")[0]
    scheme, mark, rest = address.partition("://")
    if not mark or rest.startswith("/"):
        return address if address.startswith(("sqlite:", "memory:")) else f"{scheme.partition(':')[0]}:"
    if rest.count("[") != rest.count("]"):  # no URL: anything of it may be a password
        return f"{scheme}:"
    user, _, host = rest.rpartition("@")
    has_user = ":" in user or "@" in rest.partition("/")[0]  # else the @ is one of a path
    return f"{scheme}://{host if has_user else rest}"


def scrub(text: str, arguments: list[str]) -> str:
    """Return a text without the passwords and keys in the URLs of a command line.

    An option of a URL counts as one if its name says so, or if its value is longer than a word or two. So a key is not
    printed either if it was given to the wrong option, or to none.
    """
    found: set[str] = set()
    for argument in filter(_SCHEME.match, arguments):
        address, _, query = argument.partition("?")
        user, _, host = address.partition("://")[2].rpartition("@")
        if ":" in user and not user.startswith("/"):
            password = user.partition(":")[2]
            found |= {user, password, *re.split("[/@#]", password)}  # a driver takes a part for a host or a port
        if sqlite_path(argument) is None:  # a folder may have a long name
            ports = re.sub(r"\[[^]]*\]", "", host.partition("/")[0]).split(":")[1:]
            found |= {port for port in ports if not re.fullmatch(r"[\d,]*", port)}
            found |= {part for part in re.split(r"[/:@]", address) if _KEY_LIKE.fullmatch(unquote(part))}
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if any(word in name.lower() for word in _TELLING) or not _HARMLESS.fullmatch(unquote(value) or "-"):
                found.add(value)
            if not _HARMLESS.fullmatch(unquote(name) or "-"):
                found |= {name, pair}
    decoded = {form for secret in found for form in (secret, unquote(secret), unquote(secret.replace("+", " ")))}
    for secret in sorted(decoded - {""}, key=len, reverse=True):
        text = text.replace(f":{secret}@", ":***@").replace(f"={secret}", "=***")
        if len(secret) >= _SHORT:  # a shorter one anywhere else is more likely a part of a word
            text = text.replace(secret, "***").replace(repr(secret)[1:-1], "***")
    return text
