"""Generated mutants: the backend in memory, or a pure module, with one edit each.

The clauses judge the backend and the modules below it. Its own unit tests judge each other pure module. A mutant
without a finder is a survivor. `SURVIVORS` lists them, each with a reason: no caller can see the effect.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections import Counter
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import pytest

from tests.mutants.survivors import SURVIVORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stowfast.backends.memory import MemoryBackend

__all__ = [
    "PURE",
    "SOURCES",
    "SURVIVORS",
    "Edited",
    "edited",
    "mutated_backend",
    "mutated_module",
    "run_tests",
    "source_of",
]

TESTS = Path(__file__).parents[1]


@cache
def source_of(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


SOURCES = {name: source_of(name) for name in ("stowfast.semantics", "stowfast.cursors", "stowfast.backends.memory")}
"""The edited modules under the judgement of the clauses. Each may import the ones before it."""

PURE = {
    "stowfast.backends.objects.protocol.keys": TESTS / "unit" / "backends" / "objects" / "protocol" / "test_keys.py",
}
"""The edited modules under the judgement of unit tests, and the file of the tests."""

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip
DROPPED = (ast.Expr, ast.Assign, ast.AugAssign, ast.Delete, ast.Raise)


class Edited(NamedTuple):
    """One mutant: the module, the text of the edit under the name of its function, and the numbers of node and edit."""

    module: str
    edit: str = ""
    node: int = -1
    kind: int = -1

    @property
    def tree(self) -> ast.Module:
        """The module's tree with the edit; without a node, as it is."""
        tree = ast.parse(source_of(self.module))
        if self.node >= 0:
            node, _ = list(_nodes(tree))[self.node]
            change, _ = list(_edits(node))[self.kind]
            change()
        return ast.fix_missing_locations(tree)


def edited(module: str) -> Iterator[Edited]:
    """Yield every mutant of a module: a comparison swapped, a constant one more, a condition negated, and so on."""
    seen: Counter[str] = Counter()
    for number, (node, where) in enumerate(_nodes(ast.parse(source_of(module)))):
        for kind, (_, told) in enumerate(_edits(node)):
            edit = f"{module.rpartition('.')[2]}.{where}: {told}"
            seen[edit] += 1
            yield Edited(module, edit if seen[edit] == 1 else f"{edit} ({seen[edit]})", number, kind)


def mutated_backend(mutant: Edited) -> type[MemoryBackend]:
    """Return the class of a backend in memory on top of the mutant."""
    made = ModuleType("")
    with patch.dict(sys.modules):
        for name, source in SOURCES.items():
            made = sys.modules[name] = ModuleType(name)
            tree = mutant.tree if name == mutant.module else ast.parse(source)
            exec(compile(tree, f"<{name}, mutated>", "exec"), vars(made))
    kind: type[MemoryBackend] = made.MemoryBackend
    return kind


def mutated_module(mutant: Edited) -> ModuleType:
    """Return the module of a mutant."""
    made, tree = ModuleType(mutant.module), mutant.tree
    with patch.dict(sys.modules, {mutant.module: made}):
        exec(compile(tree, f"<{mutant.module}, mutated>", "exec"), vars(made))
    return made


def run_tests(file: Path, module: ModuleType) -> str | None:
    """Run the tests of a file on a module in place of its own. Return the name of the first failed test."""
    package, _, name = module.__name__.rpartition(".")
    import_module(module.__name__)
    with patch.dict(sys.modules, {module.__name__: module}), patch.object(sys.modules[package], name, module):
        for user in _users(module.__name__):  # they are imported again, on the mutant
            del sys.modules[user]
        spec = spec_from_file_location("tests_of_a_mutant", file)
        assert spec is not None
        assert spec.loader is not None
        tests = module_from_spec(spec)
        try:
            spec.loader.exec_module(tests)
        except Exception:  # noqa: BLE001 - any failure to import it
            return "import"
        cases = [(name, test) for name, test in vars(tests).items() if name.startswith("test_")]
        for name, test in cases:
            if "tmp_path" not in inspect.signature(test).parameters and not all(map(_passes(test), _parameters(test))):
                return name
    return None


def _users(module: str) -> list[str]:
    """Return the loaded modules with an import from a module."""
    return [
        name
        for name, loaded in sys.modules.items()
        if name.startswith(("stowfast.", "tests.")) and name != module
        if any(getattr(value, "__module__", "") == module for value in vars(loaded).values())
    ]


def _passes(test: Callable[..., None]) -> Callable[[dict[str, object]], bool]:
    def passes(arguments: dict[str, object]) -> bool:
        try:
            with pytest.MonkeyPatch.context() as monkeypatch:
                fixtures = {"monkeypatch": monkeypatch}.items()
                test(
                    **arguments,
                    **{name: value for name, value in fixtures if name in inspect.signature(test).parameters},
                )
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any failure
            return False
        return True

    return passes


def _parameters(test: Callable[..., None]) -> Iterator[dict[str, object]]:
    """Yield the arguments of each case of a test, from its marks."""
    tables = []
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            names = (
                [name.strip() for name in mark.args[0].split(",")] if isinstance(mark.args[0], str) else mark.args[0]
            )
            tables.append([dict(zip(names, one if len(names) > 1 else (one,), strict=True)) for one in mark.args[1]])
    for row in product(*tables):
        yield {name: value for cells in row for name, value in cells.items()}


def _nodes(node: ast.AST, where: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Yield each editable node, with the name of its function: no annotations, no texts of errors."""
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
    """Return the edits of a node, each with its text."""
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
