"""Mutants made by a machine: a pure module, or the backend in memory, with one edit each, held against the clauses.

A mutant that no clause finds is a survivor. `SURVIVORS` lists those with an effect that no caller can see.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

from tests.mutants.survivors import SURVIVORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stowfast.backends.memory import MemoryBackend

__all__ = ["SOURCES", "SURVIVORS", "Edited", "edited", "mutated_backend"]

SOURCES = {
    name: Path(spec.origin).read_text(encoding="utf-8")
    for name in ("stowfast.semantics", "stowfast.cursors", "stowfast.backends.memory")
    if (spec := find_spec(name)) is not None and spec.origin is not None
}
"""The modules that are edited, each of which may import those before it."""

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip
DROPPED = (ast.Expr, ast.Assign, ast.AugAssign, ast.Delete, ast.Raise)


class Edited(NamedTuple):
    """One mutant: the module, the text of the edit under the name of its function, and the module's tree with it."""

    module: str
    edit: str
    tree: ast.Module


def edited(module: str) -> Iterator[Edited]:
    """Make every mutant of a module: a comparison swapped, a constant one more, a condition negated, and so on."""
    source = SOURCES[module]
    seen: Counter[str] = Counter()
    for number, (node, where) in enumerate(_nodes(ast.parse(source))):
        for kind, (_, told) in enumerate(_edits(node)):
            tree = ast.parse(source)
            copy, _ = list(_nodes(tree))[number]
            change, _ = list(_edits(copy))[kind]
            change()
            edit = f"{module.rpartition('.')[2]}.{where}: {told}"
            seen[edit] += 1
            yield Edited(module, edit if seen[edit] == 1 else f"{edit} ({seen[edit]})", ast.fix_missing_locations(tree))


def mutated_backend(mutant: Edited) -> type[MemoryBackend]:
    """Return the class of a backend in memory that stands on the mutant."""
    made = ModuleType("")
    with patch.dict(sys.modules):
        for name, source in SOURCES.items():
            made = sys.modules[name] = ModuleType(name)
            tree = mutant.tree if name == mutant.module else ast.parse(source)
            exec(compile(tree, f"<{name}, mutated>", "exec"), vars(made))
    kind: type[MemoryBackend] = made.MemoryBackend
    return kind


def _nodes(node: ast.AST, where: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Walk over what can be edited, each with the name of its function: no annotations, no texts of errors."""
    for field, inner in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list"}:
            continue
        for child in inner if isinstance(inner, list) else [inner]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            name = f"{where}.{child.name}".strip(".") if isinstance(child, _NAMED) else where
            if "__all__" in (text := ast.unparse(child))[:8] or text.startswith("if TYPE_CHECKING"):
                continue
            yield child, name
            if not isinstance(child, ast.Raise):
                yield from _nodes(child, name)


_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _edits(node: ast.AST) -> Iterator[tuple[Callable[[], None], str]]:
    """Return the edits of a node, each with the text that names it."""
    if isinstance(node, ast.stmt):
        yield from _edits_of_statement(node)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        yield _told(node, lambda: setattr(node, "ops", [SWAPPED[type(node.ops[0])](), *node.ops[1:]]))
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPPED:
        yield _told(node, lambda: setattr(node, "op", SWAPPED[type(node.op)]()))
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield _told(node, lambda: setattr(node, "value", node.value + 1))  # type: ignore[operator]
        yield _told(node, lambda: setattr(node, "value", node.value - 1))  # type: ignore[operator]
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield _told(node, lambda: setattr(node, "value", not node.value))
    elif isinstance(node, ast.IfExp):
        yield _told(node, lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test)))
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield _told(node, lambda: setattr(node, "ifs", []))


def _edits_of_statement(node: ast.stmt) -> Iterator[tuple[Callable[[], None], str]]:
    if isinstance(node, ast.If | ast.While):
        test = ast.unparse(node.test)
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test)), f"not ({test})"
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield lambda: setattr(node, "value", None), f"{ast.unparse(node)} -> return"
    elif isinstance(node, DROPPED) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        yield lambda: _drop(node), f"drop {ast.unparse(node)}"


def _told(node: ast.AST, change: Callable[[], None]) -> tuple[Callable[[], None], str]:
    """Name an edit by the code before it and after it, on a copy."""
    before = ast.unparse(node)
    state = {name: list(value) if isinstance(value, list) else value for name, value in vars(node).items()}
    change()
    after = ast.unparse(node)
    vars(node).update(state)
    return change, f"{before} -> {after}"


def _drop(node: ast.stmt) -> None:
    """Turn a statement into `pass` where it stands."""
    node.__class__ = ast.Pass
    vars(node).clear()
