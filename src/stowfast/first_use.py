"""Names that are loaded at their first use: a program pays for what it uses."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import nested

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

__all__ = ["imported", "imported_module", "loader"]

_here = threading.local()
_ABSENT: Final = object()
_HALF: Final = "partially initialized module"
"""Words of Python's errors for a name of a module whose import is under way."""
_whole: Final = set[str]()
"""The modules that were imported here, and to their end."""


def imported(module: str, name: str) -> Any:
    """Return a name of a module, of ours or of Python, that is imported at its first use.

    Raises:
        InvalidError: this thread is just importing one: the call came inside that one, from a signal handler or a
            finalizer, and would find half of a module.
    """
    if module not in _whole and getattr(_here, "importing", False):
        raise nested()
    return getattr(imported_module(module), name)


def imported_module(name: str) -> ModuleType:
    """Return a module, also for another one that is just imported and needs it.

    Raises:
        InvalidError: only half of it is there: the call came inside its import.
    """
    if name in _whole and (known := sys.modules.get(name)) is not None:  # a test may have removed it
        return known
    outer, _here.importing = getattr(_here, "importing", False), True
    found: ModuleType | None = None
    try:
        found = import_module(name)
    except ImportError as error:
        if _HALF not in str(error):
            raise
    finally:
        _here.importing = outer
    if found is None or getattr(found.__spec__, "_initializing", False):
        raise nested()
    _whole.add(name)
    return found


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package. A name is loaded once, from its home. Source: PEP 562.

    Args:
        package: the package.
        homes: the module of each name.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # A module that is imported may ask for a name of another one: that is no call inside a call.
        try:
            value = getattr(imported_module(homes[name]), name)
        except AttributeError as error:
            if _HALF not in str(error):
                raise
            value = _ABSENT
        if value is _ABSENT:
            raise nested()
        setattr(sys.modules[package], name, value)
        return value

    return load
