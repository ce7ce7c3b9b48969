"""URLs of backends: open one that exists, and print one without its secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import stowfast
from stowfast.errors import NotFoundError

if TYPE_CHECKING:
    from stowfast import Opening

__all__ = ["existing", "scrub", "shown", "sqlite_url"]

_TELLING: Final = ("key", "secret", "token", "password", "passwd", "pwd", "sig", "credential")
_SHORT: Final = 4


def existing(url: str, **options: Any) -> Opening:
    """Open a backend that exists.

    `stowfast.open` creates a SQLite file that is absent. A command that only reads must not: a mistyped path is an
    error, not a new empty file.

    Raises:
        NotFoundError: there is no such file.
    """
    address = url.partition("?")[0]
    if address.startswith("sqlite:///"):
        path = Path(unquote(address.removeprefix("sqlite:///")))
        if path.name and not path.exists():
            raise NotFoundError(f"there is no file {path}")
    return stowfast.open(url, **options)


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file. Special characters of the path are quoted."""
    return f"sqlite:///{quote(str(path))}"


def shown(url: str) -> str:
    """Return a URL as it may be printed: without user, password and options."""
    address = url.partition("?")[0]
    scheme, mark, rest = address.partition("://")
    if not mark or rest.startswith("/"):
        return address if address.startswith(("sqlite:", "memory:")) else f"{scheme.partition(':')[0]}:"
    user, _, host = rest.rpartition("@")
    has_user = ":" in user or "@" in rest.partition("/")[0]  # else the @ is one of a path
    return f"{scheme}://{host if has_user else rest}"


def scrub(text: str, arguments: list[str]) -> str:
    """Return a text without the passwords and keys that stand in the URLs of a command line."""
    found: set[str] = set()
    for argument in arguments:
        address, _, query = argument.partition("?")
        user, _, _ = address.partition("://")[2].rpartition("@")
        if ":" in user and not user.startswith("/"):
            found |= {user, user.partition(":")[2]}
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if any(word in name.lower() for word in _TELLING):
                found.add(value)
    for secret in sorted({*found, *map(unquote, found)} - {""}, key=len, reverse=True):
        text = text.replace(f":{secret}@", ":***@").replace(f"={secret}", "=***")
        if len(secret) >= _SHORT:  # a shorter one anywhere else is more likely a part of a word
            text = text.replace(secret, "***")
    return text
