"""The public names of Stowfast, as `dir()` and the source have them: each needs an entry in the reference."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src" / "stowfast"
MODULES = (
    "",
    ".abc",
    ".aws",
    ".importing",
    ".moving",
    ".sqlite",
    ".sync",
    ".testing",
    ".testing.faults",
    ".wrappers",
    ".adapters",
)
"""The modules that a program may import. Those of the adapters need their frameworks: they are read as source."""


def ours(base: type) -> bool:
    return base.__module__.partition(".")[0] == "stowfast"


def members(value: type) -> set[str]:
    """Return the public attributes that a class has from us: methods, properties and fields, inherited ones, too."""
    names = {name for base in value.__mro__ if ours(base) for name in (*vars(base), *inspect.get_annotations(base))}
    return {name for name in names if not name.startswith("_")}


def loaded() -> Iterator[tuple[str, Any]]:
    for suffix in MODULES:
        module = importlib.import_module(f"stowfast{suffix}")
        for name in module.__all__:
            value = getattr(module, name)
            yield f"stowfast{suffix}.{name}", value
            if inspect.isclass(value):
                yield from ((f"stowfast{suffix}.{name}.{one}", getattr(value, one, None)) for one in members(value))


def of_adapters() -> Iterator[str]:
    for path in sorted((SOURCE / "adapters").glob("*")):
        init = path / "__init__.py" if path.is_dir() else path
        module = f"stowfast.adapters.{path.stem}"
        if not init.is_file() or path.stem in HELPERS or path.stem.startswith("_"):
            continue
        exported = next(
            ast.literal_eval(node.value)
            for node in ast.parse(init.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        files = path.rglob("*.py") if path.is_dir() else [path]
        nodes = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
        yield from (f"{module}.{name}" for name in exported)
        for node in nodes:
            if isinstance(node, ast.ClassDef) and node.name in exported:
                functions = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
                yield from (f"{module}.{node.name}.{one.name}" for one in functions if not one.name.startswith("_"))


HELPERS = {"closing", "decoding", "extras", "ids", "opener", "outcomes"}
"""Shared by the adapters; `stowfast.adapters` itself exports the one of them that others may use."""


def classes() -> set[str]:
    """Return the name of every class in the source."""
    found = (re.findall(r"^class ([A-Z]\w+)", path.read_text("utf-8"), re.MULTILINE) for path in SOURCE.rglob("*.py"))
    return {name for names in found for name in names}


def returned(values: Iterator[tuple[str, Any]]) -> set[str]:
    """Return the classes of ours that the public functions return."""
    annotations = (str(getattr(value, "__annotations__", {}).get("return", "")) for _, value in values)
    return {name for text in annotations for name in re.findall(r"\w+", text)} & classes()
