"""The backend of a URL, by its scheme. Other packages add schemes as entry points of the group `stowfast.backends`."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, UnsupportedError
from stowfast.first_use import imported
from stowfast.names import listed
from stowfast.operator_log import tell
from stowfast.percent import unquote

if TYPE_CHECKING:
    from stowfast.abc import Backend

__all__ = ["BACKENDS", "connect", "find"]

BACKENDS: Final = {
    "memory": "stowfast.backends.memory:MemoryBackend",
    "sqlite": "stowfast.backends.sqlite.backend:SQLiteBackend",
    "s3": "stowfast.backends.objects.backend:ObjectBackend",
    "gs": "stowfast.backends.objects.backend:ObjectBackend",
    "az": "stowfast.backends.objects.backend:ObjectBackend",
    "postgresql": "stowfast.backends.postgres.backend:PostgresBackend",
    "moving": "stowfast.moving.transition:MovingBackend",
}

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")

_LONGEST_SHOWN: Final = 12

EXTRAS: Final = {"s3": "s3", "gs": "s3", "az": "s3", "postgresql": "postgres"}
"""The extra with the driver of a scheme."""


def find(url: str) -> tuple[type[Backend], str, dict[str, Any]]:
    """Return the backend class of a URL, the URL without its query, and the query as keyword arguments.

    Options are percent-encoded, and a `+` is a `+`: keys of Amazon and Azure have it. Errors show the scheme and the
    names of options only, since the rest of the URL may hold a password.

    Raises:
        InvalidError: the scheme or an option is unknown. The error lists the known ones.
        UnsupportedError: the scheme's driver is not installed. The error names the extra to install.
    """
    if not isinstance(url, str):
        raise InvalidError(f"a URL is a str such as 'sqlite:///agent.db', not {type(url).__name__}")
    address, _, query = url.partition("?")
    scheme, colon, _ = address.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        known = ", ".join(f"{known}:" for known in _known())
        raise InvalidError(f"a URL begins with one of {known}; a file is sqlite:///agent.db")
    scheme = scheme.lower()  # https://www.rfc-editor.org/rfc/rfc3986#section-3.1
    address = f"{scheme}:{address.partition(':')[2]}"
    backend = _load(scheme)
    pairs = _options_of(query)
    options = dict(pairs)
    _check_options(scheme, backend, options)
    if len(options) < len(pairs):
        raise InvalidError(f"{scheme}: an option comes twice in the URL: give it once")
    return backend, address, options


async def connect(url: str, **options: Any) -> Backend:
    """Open the backend of a URL, by `open(url, **options)` of its class.

    Raises:
        InvalidError: as `find` does; or an option is unknown, or is in the URL too.
    """
    backend, address, from_url = find(url)
    scheme = address.partition(":")[0]
    _check_options(scheme, backend, options)
    if twice := sorted(options.keys() & from_url.keys()):
        raise InvalidError(f"{scheme}: {', '.join(twice)} is in the URL and beside it: give it once")
    began = time.perf_counter()
    opened = await backend.open(address, **from_url, **options)
    seconds = round(time.perf_counter() - began, 3)
    tell(logging.INFO, "opened", f"opened {opened!r}", backend=scheme, place=repr(opened), seconds=seconds)
    return opened


def _check_options(scheme: str, backend: type[Backend], options: dict[str, Any]) -> None:
    known = backend.option_names(scheme)
    if unknown := sorted(options.keys() - set(known)):
        has = f"it has {', '.join(known) or 'none'}; any other ? in a URL is written %3F"
        raise InvalidError(f"{scheme}: has no option {listed(unknown)}; {has}")


def _options_of(query: str) -> list[tuple[str, str]]:
    """Parse `name=value&name=value`. Not as a form: in a form a `+` is a space."""
    pairs = []
    for pair in query.split("&") if query else []:
        name, _, value = (unquote(part, errors="surrogateescape") for part in pair.partition("="))
        if any("\udc80" <= character <= "\udcff" for character in name + value):
            raise InvalidError("an option of the URL is not UTF-8 once its %xx are decoded: write a % as %25")
        pairs.append((name, value))
    return pairs


def _load(scheme: str) -> type[Backend]:
    target = BACKENDS.get(scheme)
    try:
        if target is not None:
            module, _, name = target.partition(":")
            found: type[Backend] = imported(module, name)
            return found
        for point in _entry_points():
            if point.name == scheme:
                loaded: type[Backend] = point.load()
                return loaded
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "stowfast":
            raise
        extra = EXTRAS.get(scheme)
        fix = f"pip install 'stowfast[{extra}]'" if extra else f"install {error.name}"
        raise UnsupportedError(f"{scheme}: needs {error.name}: {fix}") from error
    named = f"{scheme}: " if scheme.isalpha() and len(scheme) <= _LONGEST_SHOWN else ""  # else it may be a secret
    hint = ", as in postgresql://host/db" if scheme == "postgres" else ""
    raise InvalidError(
        f"{named}no backend has this scheme: there are {', '.join(f'{known}:' for known in _known())}{hint}"
    )


def _known() -> list[str]:
    return sorted({*BACKENDS, *(point.name for point in _entry_points())})


def _entry_points() -> Any:
    return imported("importlib.metadata", "entry_points")(group="stowfast.backends")
