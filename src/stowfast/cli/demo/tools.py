"""The tools of the demonstration's agent, real ones over the running Python: they list, measure and write.

Their effects outside Stowfast go to a workbench, a small SQLite file of their own. Like a good service, it stores the
op_id of a call together with its effect, so a call repeated after a crash is answered and not done again.
"""

from __future__ import annotations

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

__all__ = ["BENCH", "LARGEST", "Workbench"]

LARGEST: Final = 8
BENCH: Final = "workbench.db"

_COLUMNS: Final = "module, lines, functions"
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS measures (op_id TEXT PRIMARY KEY, module TEXT, lines INT, functions INT)"
_NOT_THE_LIBRARY: Final = {"site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib"}


class Workbench:
    """The workplace of the tools. A tool returns its message for the conversation, and True if already done."""

    def __init__(self, stores: Stores, folder: Path, context_id: str) -> None:
        self._stores = stores
        self._path = folder / BENCH
        self._context_id = context_id
        self._library = Path(sysconfig.get_paths()["stdlib"])
        with closing(sqlite3.connect(self._path)) as database:
            database.execute(_SCHEMA)

    async def call(self, tool: str, arguments: dict[str, Any], op_id: str) -> tuple[dict[str, Any], bool]:
        """Run a tool."""
        if tool == "measure":
            return self._measure(arguments["module"], op_id)
        if tool == "save_artifact":
            return await self._save_artifact(arguments["name"], op_id)
        modules = self._modules()
        largest = [name for name, _ in modules[:LARGEST]]
        total = sum(length for _, length in modules)
        return {"python": platform.python_version(), "modules": len(modules), "bytes": total, "largest": largest}, False

    def _modules(self) -> list[tuple[str, int]]:
        found = [
            (path.relative_to(self._library).as_posix(), path.stat().st_size)
            for path in self._library.rglob("*.py")
            if not _NOT_THE_LIBRARY & set(path.relative_to(self._library).parts[:-1])
        ]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def _measure(self, module: str, op_id: str) -> tuple[dict[str, Any], bool]:
        with closing(sqlite3.connect(self._path)) as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.row_factory = sqlite3.Row
            known = database.execute(f"SELECT {_COLUMNS} FROM measures WHERE op_id = ?", (op_id,)).fetchone()  # noqa: S608
            if known is not None:
                return dict(known), True
            with tokenize.open(self._library / module) as file:
                lines = file.readlines()
            functions = sum(line.lstrip().startswith(("def ", "async def ")) for line in lines)
            database.execute("INSERT INTO measures VALUES (?, ?, ?, ?)", (op_id, module, len(lines), functions))
        return {"module": module, "lines": len(lines), "functions": functions}, False

    async def _save_artifact(self, name: str, op_id: str) -> tuple[dict[str, Any], bool]:
        # Stowfast keeps the op_id itself: a repeat stores nothing, and returns what the first call returned.
        if name.endswith(".csv"):
            content = "module,bytes\n" + "".join(f"{module},{length}\n" for module, length in self._modules())
        else:
            with closing(sqlite3.connect(self._path)) as database:
                rows = database.execute(f"SELECT {_COLUMNS} FROM measures ORDER BY lines DESC, module").fetchall()  # noqa: S608
            content = "# The largest modules\n\n| module | lines | functions |\n|---|---:|---:|\n"
            content += "".join(f"| {module} | {lines:,} | {functions:,} |\n" for module, lines, functions in rows)
        known = await self._stores.artifacts.get(name)
        artifact = Artifact(artifact_id=name, name=name, content=content, context_id=self._context_id)
        info = await self._stores.artifacts.create(artifact, op_id=op_id)
        return {"artifact_id": name, "size": info.size, "sha256": info.sha256}, known is not None
