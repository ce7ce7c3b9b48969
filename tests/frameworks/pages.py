"""The code on the page of an adapter, beside the framework: its names are there, and its calls fit them.

The blocks stand for lines of a program, so they do not run by themselves. A renamed class, option or method is found.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import TYPE_CHECKING, Any

from tests.house.test_docs import ROOT, blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_page(module: str) -> int:
    """Check the page of an adapter, and return the number of its calls that were looked at.

    Raises:
        AssertionError: a name is not there, or a call does not fit it.
    """
    page = ROOT / "docs" / "frameworks" / f"{module}.md"
    known, checked = dict[str, Any](), 0
    for block in blocks_of(page):
        if block.language != "python":
            continue
        tree = ast.parse(block.text)
        known |= dict(_imported(tree))
        known |= dict(_made(tree, known))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            target = _target(call.func, known)
            if target is not None:
                _fits(target, call, f"{page.name}:{block.line + call.lineno - 1}: {ast.unparse(call)}")
                checked += 1
    return checked


def _imported(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                yield one.asname or one.name, getattr(importlib.import_module(str(node.module)), one.name)


def _made(tree: ast.Module, known: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the variables that hold an object of an imported class, with that class."""
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
        elif isinstance(node, ast.With | ast.AsyncWith):
            pairs = [(item.optional_vars, item.context_expr) for item in node.items]
        for target, value in pairs:
            if isinstance(target, ast.Name) and isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                made = known.get(value.func.id)
                if isinstance(made, type):
                    yield target.id, _Object(made)


class _Object:
    """A variable that holds an object of this class."""

    def __init__(self, kind: type) -> None:
        self.kind = kind


def _target(function: ast.expr, known: dict[str, Any]) -> Any:
    """Return the function or class of a call, if the page says where it comes from."""
    if isinstance(function, ast.Name):
        found = known.get(function.id)
        if isinstance(found, type):
            # Not the class: pydantic shows the fields of a model there, even where it has another `__init__`.
            return _Method(inspect.getattr_static(found, "__init__"))
        return None if isinstance(found, _Object) else found
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        owner = known.get(function.value.id)
        if isinstance(owner, _Object):
            method = inspect.getattr_static(owner.kind, function.attr)
            return getattr(owner.kind, function.attr) if isinstance(method, classmethod) else _Method(method)
        return None if owner is None else getattr(owner, function.attr)
    return None


class _Method:
    """A function that gets its object as the first argument."""

    def __init__(self, function: Any) -> None:
        self.function = function


def _fits(target: Any, call: ast.Call, where: str) -> None:
    # `f(..., key=key)` leaves arguments out.
    positional: list[Any] = [one for one in call.args if not isinstance(one, ast.Constant) or one.value is not ...]
    is_whole = len(positional) == len(call.args)
    named = {one.arg: None for one in call.keywords if one.arg is not None}
    if isinstance(target, _Method):
        target, positional = target.function, [None, *positional]
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return
    try:
        (signature.bind if is_whole else signature.bind_partial)(*positional, **named)
    except TypeError as error:
        raise AssertionError(f"{where}: {error}") from error
