"""The tools of the demonstration's agent, real ones over the running Python: they list, measure, query and write.

Their effects outside Stowfast go to a workbench, a small SQLite file of their own. Like a good service, it stores the
op_id of a call together with its effect, so a call repeated after a crash is answered and not done again.
"""

from __future__ import annotations

import ast
import json
import platform
import sqlite3
import sysconfig
import tokenize
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stowfast import Artifact

if TYPE_CHECKING:
    from stowfast import Stores

__all__ = ["LARGEST", "Workbench"]

LARGEST: Final = 8


_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS effects (op_id TEXT PRIMARY KEY, result TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS measures (module TEXT, lines INTEGER, functions INTEGER, classes INTEGER);
"""
_NOT_THE_LIBRARY: Final = {"site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib"}


class Workbench:
    """The workplace of the tools. A tool returns its message for the conversation, and True if already done."""

    def __init__(self, stores: Stores, folder: Path, context_id: str) -> None:
        self._stores = stores
        self._path = folder / "workbench.db"
        self._context_id = context_id
        self._library = Path(sysconfig.get_paths()["stdlib"])
        with closing(sqlite3.connect(self._path)) as database:
            database.executescript(_SCHEMA)

    async def call(self, tool: str, arguments: dict[str, Any], op_id: str) -> tuple[dict[str, Any], bool]:
        """Run a tool."""
        if tool == "measure":
            return self._measure(arguments["module"], op_id)
        if tool == "save_artifact":
            return await self._save_artifact(arguments["name"], op_id)
        if tool == "query":
            return self._query(arguments["sql"]), False
        return self._list_modules(), False

    def _modules(self) -> list[tuple[str, int]]:
        found = [
            (path.relative_to(self._library).as_posix(), path.stat().st_size)
            for path in self._library.rglob("*.py")
            if not _NOT_THE_LIBRARY & set(path.relative_to(self._library).parts[:-1])
        ]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def _list_modules(self) -> dict[str, Any]:
        modules = self._modules()
        return {
            "python": platform.python_version(),
            "modules": len(modules),
            "bytes": sum(length for _, length in modules),
            "largest": [name for name, _ in modules[:LARGEST]],
        }

    def _measure(self, module: str, op_id: str) -> tuple[dict[str, Any], bool]:
        with closing(sqlite3.connect(self._path)) as database, database:
            database.execute("BEGIN IMMEDIATE")
            known = database.execute("SELECT result FROM effects WHERE op_id = ?", (op_id,)).fetchone()
            if known is not None:
                before: dict[str, Any] = json.loads(known[0])
                return before, True
            with tokenize.open(self._library / module) as file:
                source = file.read()
            nodes = [type(node) for node in ast.walk(ast.parse(source))]
            result = {
                "module": module,
                "lines": source.count("\n"),
                "functions": nodes.count(ast.FunctionDef) + nodes.count(ast.AsyncFunctionDef),
                "classes": nodes.count(ast.ClassDef),
            }
            database.execute("INSERT INTO measures VALUES (:module, :lines, :functions, :classes)", result)
            database.execute("INSERT INTO effects VALUES (?, ?)", (op_id, json.dumps(result)))
        return result, False

    def _query(self, sql: str) -> dict[str, Any]:
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute(sql)
            return {"columns": [column[0] for column in found.description], "rows": [list(row) for row in found]}

    async def _save_artifact(self, name: str, op_id: str) -> tuple[dict[str, Any], bool]:
        # Stowfast keeps the op_id itself: a repeat stores nothing, and returns what the first call returned.
        content = self._inventory() if name.endswith(".csv") else self._report()
        known = await self._stores.artifacts.get(name)
        info = await self._stores.artifacts.create(
            Artifact(artifact_id=name, name=name, content=content, context_id=self._context_id), op_id=op_id
        )
        return {"artifact_id": name, "size": info.size, "sha256": info.sha256}, known is not None

    def _inventory(self) -> str:
        return "module,bytes\n" + "".join(f"{name},{length}\n" for name, length in self._modules())

    def _report(self) -> str:
        rows = self._query("SELECT module, lines, functions, classes FROM measures ORDER BY lines DESC, module")["rows"]
        lines = [
            f"| {module} | {count:,} | {functions:,} | {classes:,} |" for module, count, functions, classes in rows
        ]
        return "\n".join(
            [
                f"# The largest modules of Python {platform.python_version()}",
                "",
                "| module | lines | functions | classes |",
                "|---|---:|---:|---:|",
                *lines,
                "",
                f"Together {sum(row[1] for row in rows):,} lines.",
                "",
            ]
        )
