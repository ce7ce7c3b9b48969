"""Which place a URL means: one line per scheme. Other packages add theirs as entry points of `holdfast.backends`."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from holdfast.errors import InvalidError, UnsupportedError

if TYPE_CHECKING:
    from holdfast.abc import Backend

__all__ = ["BACKENDS", "connect", "find"]

BACKENDS: Final = {
    "memory": "holdfast.backends.memory:MemoryBackend",
    "sqlite": "holdfast.backends.sqlite:SQLiteBackend",
}

EXTRAS: Final[dict[str, str]] = {}
"""The extra that a scheme's driver comes with, where it needs one."""


def find(url: str) -> tuple[type[Backend], str, dict[str, Any]]:
    """Return the backend class of a URL, the URL without its query, and the query as keyword arguments.

    Nothing of the URL behind its scheme is ever in an error: it may hold a password.

    Raises:
        InvalidError: the scheme or an option is unknown. The error lists the known ones.
        UnsupportedError: the scheme's driver is not installed. The error names what to install.
    """
    address, _, query = url.partition("?")
    scheme, colon, _ = address.partition(":")
    if not colon:
        raise InvalidError(f"a URL begins with one of {', '.join(f'{known}:' for known in _known())}")
    backend = _load(scheme)
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = [name for name in inspect.signature(backend.open).parameters if name != "url"]  # type: ignore[attr-defined]
    if unknown := sorted(options.keys() - set(known)):
        raise InvalidError(f"{scheme}: has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    return backend, address, options


async def connect(url: str, **options: Any) -> Backend:
    """Open the place that a URL means, by `open(url, **options)` of its backend class."""
    backend, address, from_url = find(url)
    opened: Backend = await backend.open(address, **from_url, **options)  # type: ignore[attr-defined]
    return opened


def _load(scheme: str) -> type[Backend]:
    target = BACKENDS.get(scheme)
    try:
        if target is not None:
            module, _, name = target.partition(":")
            found: type[Backend] = getattr(import_module(module), name)
            return found
        for point in _entry_points():
            if point.name == scheme:
                loaded: type[Backend] = point.load()
                return loaded
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        fix = f"pip install 'holdfast[{extra}]'" if extra else f"install {error.name}"
        raise UnsupportedError(f"{scheme}: needs {error.name}: {fix}") from error
    raise InvalidError(f"no place is called {scheme}: there are {', '.join(f'{known}:' for known in _known())}")


def _known() -> list[str]:
    return sorted({*BACKENDS, *(point.name for point in _entry_points())})


def _entry_points() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group="holdfast.backends")
