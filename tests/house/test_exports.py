"""Every name in `__all__` exists, is in order, and has a docstring."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

import pytest

import stowfast

if TYPE_CHECKING:
    from types import ModuleType

PUBLIC = sorted(
    f"stowfast.{module.name}"
    for module in pkgutil.iter_modules(stowfast.__path__)
    if not module.name.startswith("_") and module.name not in {"tools", "adapters"}
)
MODULES = ["stowfast", *PUBLIC]


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def in_order(name: str) -> tuple[int, str]:
    """The order of `make format`: CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_true(name: str) -> None:
    module = load(name)
    names = list(getattr(module, "__all__", []))
    assert names == sorted(set(names), key=in_order)
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("name", MODULES)
def test_what_is_exported_has_a_docstring(name: str) -> None:
    module = load(name)
    assert module.__doc__ or not getattr(module, "__all__", []), f"{name} does not say what it is"
    for exported in getattr(module, "__all__", []):
        value = getattr(module, exported)
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"{name}.{exported} has no docstring"


def test_the_face_exports_something() -> None:
    assert stowfast.__all__


def test_a_dir_of_the_face_shows_what_it_exports() -> None:
    assert set(stowfast.__all__) <= set(dir(stowfast))
