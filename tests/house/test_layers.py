"""The layers of the house, checked by every import: the allowed directions, and no circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src" / "stowfast"
MODULES = sorted(SOURCE.rglob("*.py"))
FACE = "__init__"

BELOW = (
    "errors records abc names cursors semantics blocking answers jobs group_commit lru counts operator_log looks"
    " chance percent heap"
)

MAY_IMPORT = {
    # layer: what of ours it may import, its own folder aside. `__init__` is the face, `import stowfast`.
    "first_use": "errors",
    "errors": "",
    "records": "errors",
    "operator_log": "abc",  # for types alone
    "counts": "errors abc first_use lru operator_log records",  # the record they return, when it is asked for
    "abc": "errors records blocking counts",
    "names": "errors abc",
    "cursors": "errors abc",
    "semantics": "errors abc names",
    "blocking": "errors",
    "answers": "errors blocking",
    "jobs": "errors blocking answers",
    "group_commit": "errors blocking jobs",
    "lru": "",
    "looks": "",
    "disk": "",
    "chance": "",
    "heap": "",
    "percent": "first_use",
    "findings": "errors abc",
    "wrappers": "errors abc names blocking chance counts operator_log",
    "scopes": "errors abc names percent wrappers",
    "splices": "",
    "deltas": "errors splices",
    "plain_json": "errors",
    "stores": f"{BELOW} deltas first_use scopes",
    "backends": f"{BELOW} disk first_use",
    "adapters": f"{BELOW} deltas first_use plain_json portals registry stores scopes wrappers sync",
    # Above the stores, since it knows the record that names a blob; above the backends, by URL alone.
    # The generations of a backup are SQLite files, also in a bucket, and an erasure compacts the file
    # and searches its bytes. A backup of a file is marked before it has its name.
    "moving": f"{BELOW} disk first_use records registry sqlite stores scopes wrappers backends.objects"
    " backends.sqlite.search backends.sqlite.copies backends.sqlite.rights",
    # Imported conversations are stored as our adapters store them, without the framework: ids, and entries of threads.
    # Buckets of other libraries are read through the driver of our own, and refused connections explained as our own.
    "importing": f"{BELOW} deltas first_use moving registry scopes stores adapters.ids adapters.langgraph"
    " backends.objects backends.postgres.connection backends.postgres.failures backends.postgres.options",
    "registry": f"{BELOW} first_use",
    "memory": f"{BELOW} stores backends.memory",
    "aws": f"{BELOW} registry stores backends.objects",
    "sqlite": "errors abc names backends.sqlite",  # the care of a file: no store and no URL of another backend
    # aws, sync and testing at their first use only; type checkers see them from the start
    "__init__": "first_use errors records abc blocking plain_json registry stores memory aws sync testing",
    "words": "",
    # The viewer reads: of the stores it knows the public methods, and the names of calls in messages; of moving counts.
    "view": "errors abc findings moving records scopes words stores",
    "portals": "errors abc blocking answers",
    "sync": "first_use errors records abc blocking portals registry stores memory",
    "testing": f"{BELOW} wrappers stores sync",
    # The whole public surface is the face to a tool; backends it reaches by URL alone.
    "__main__": "cli",
    # But one command prints the statements of a migration, for a server that nobody opens.
    "cli": "__init__ disk wrappers errors records abc findings words view scopes sync sqlite testing registry moving"
    " importing backends.postgres",
}

MAY_IMPORT_OUTSIDE = {
    # layer: the libraries beside Python's own. A missing row means none.
    "abc": "msgspec",  # an entry is a struct: as a named tuple it costs a read of 10,000 a quarter more
    # compression, backports: Zstandard, Python's own from 3.14 on. All but these and msgspec where they are asked for.
    "deltas": "msgspec compression backports",
    "adapters.langgraph": "msgspec langgraph langchain_core ormsgpack",
    "adapters.openai_agents": "agents",
    "adapters.pydantic_ai": "msgspec pydantic pydantic_ai pydantic_core pydantic_graph",
    "adapters.langchain": "langchain_core",
    "adapters.mcp": "mcp mcp_types",
    "adapters.key_value": "key_value",
    "adapters.strands": "strands",
    "stores": "msgspec jsonpatch jsonschema referencing pyarrow pandas",
    "backends": "msgspec",
    # All buckets go through the driver, which knows forks, time limits and secrets; a raw client of obstore does not.
    "backends.objects.driver": "obstore boto3 botocore",  # boto3 only for a profile: see the test at the end
    "backends.postgres": "psycopg",
    # Each adapter is a translation for one framework, and is loaded only by those who have it.
    "adapters.llama_index": "llama_index",
    "adapters.agent_framework": "agent_framework pydantic",
    "adapters": "msgspec google a2a cryptography",
    "moving": "msgspec",
    "importing": "msgspec psycopg cryptography",  # the databases of others and their ciphers, where they are asked for
    "testing": "msgspec jsonpatch",  # jsonpatch where a patch is applied
    "view": "jinja2 jsonpatch markdown_it markupsafe starlette uvicorn",
    "cli": "msgspec typer click rich jsonpatch",  # jsonpatch where a patch is shown, which the store has made with it
}

PERFORMS_NOTHING = "backends.objects.protocol"
"""The simulator decides all events and their times: so it has no clock, no thread, no socket and no file."""
PURE = "__future__ array base64 collections contextlib enum hashlib itertools re struct sys types typing urllib zlib"
PURE_OURS = f"{PERFORMS_NOTHING} errors abc names cursors semantics looks"

SAYS_NOTHING = {"utils", "util", "common", "helpers", "types", "misc"}
MOST_CODE_LINES = 250
MOST_FUNCTION_LINES = 50


class Import(NamedTuple):
    """One import statement's target. `name` is relative to the package where it is ours."""

    name: str
    ours: bool
    line: int
    runs: bool
    """False under `if TYPE_CHECKING:`, where a circle does no harm."""


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == FACE and len(parts) > 1 else parts)


NAMES = {name_of(path) for path in MODULES}


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        runs = id(node) not in typing_only
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield resolved(alias.name, "", node.lineno, runs)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import with its full name"
            for alias in node.names:
                yield resolved(node.module or "", alias.name, node.lineno, runs)


def resolved(module: str, member: str, line: int, runs: bool) -> Import:
    root, _, rest = module.partition(".")
    if root != "stowfast":
        return Import(root, False, line, runs)
    inner = f"{rest}.{member}".strip(".")
    return Import(inner if inner in NAMES else rest or FACE, True, line, runs)


def layer_of(name: str) -> str:
    return name.partition(".")[0]


def within(name: str, allowed: str) -> bool:
    return any(name == entry or name.startswith(f"{entry}.") for entry in allowed.split())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_only_what_its_layer_may(path: Path) -> None:
    layer = layer_of(name_of(path))
    assert layer in MAY_IMPORT, f"{path.name} is in no layer: give it a row in MAY_IMPORT, and a reason"
    for found in imports_of(path):
        if found.ours:
            allowed = within(found.name, f"{MAY_IMPORT[layer]} {'' if layer == FACE else layer}")
            what = f"stowfast.{found.name}"
        else:
            libraries = " ".join(more for name, more in MAY_IMPORT_OUTSIDE.items() if within(name_of(path), name))
            allowed = found.name in sys.stdlib_module_names or within(found.name, libraries)
            what = found.name
        assert allowed, f"{path}:{found.line}: {layer} may not import {what}"


@pytest.mark.parametrize("name", sorted(name for name in NAMES if within(name, PERFORMS_NOTHING)))
def test_the_protocol_performs_nothing_itself(name: str) -> None:
    path = next(path for path in MODULES if name_of(path) == name)
    for found in imports_of(path):
        allowed = within(found.name, PURE_OURS if found.ours else f"{PURE} msgspec")
        assert allowed, f"{path}:{found.line}: the protocol may not import {found.name}"


def test_nobody_imports_in_a_circle() -> None:
    graph = {name_of(path): {found.name for found in imports_of(path) if found.ours and found.runs} for path in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("an import circle: " + " -> ".join(error.args[1]))


IMPORTS_INSIDE = {
    # by path: the reason why its functions import modules by themselves.
    "first_use.py": "it does so for all others, and refuses a call inside an import of its own thread",
    "cli/": "a command runs alone in its process, and no handler of it calls Stowfast",
    "adapters/agent_framework/values.py": "a module that the user has allowed, none of ours",
    "backends/postgres/database.py": "a subclass of psycopg's, made where psycopg is known to be there",
    "testing/artifacts/datasets.py": "a library that is not ours",
}


def test_modules_of_ours_are_imported_at_the_head_or_by_first_use() -> None:
    """A signal handler that calls Stowfast inside any other import would find half of a module."""
    found = set[str]()
    for path in MODULES:
        name = path.relative_to(SOURCE).as_posix()
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    inside = ast.unparse(node).split()[1].partition(".")[0] == "stowfast"
                else:
                    inside = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
                if inside:
                    found.add(f"{name}: {ast.unparse(node)}")
    allowed = tuple(IMPORTS_INSIDE)
    assert sorted(one for one in found if not one.startswith(allowed)) == []
    assert {path for path in allowed if not any(one.startswith(path) for one in found)} == set()


def code_lines(node: ast.AST, source: str) -> int:
    """Count the lines of code: without docstrings, comments and blank lines."""
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", None)
    lines = source.splitlines()[first - 1 : last]
    counted = {first + number for number, line in enumerate(lines) if line.strip() and not line.strip().startswith("#")}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant) and isinstance(inner.value.value, str):
            counted -= set(range(inner.lineno, (inner.end_lineno or inner.lineno) + 1))
    return len(counted)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_can_be_read_whole(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    lines = code_lines(tree, source)
    assert lines <= MOST_CODE_LINES, f"{path} has {lines} lines of code: more than {MOST_CODE_LINES} are two ideas"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = code_lines(node, source)
            assert lines <= MOST_FUNCTION_LINES, f"{path}:{node.lineno}: {node.name} has {lines} lines of code"
    assert path.stem not in SAYS_NOTHING, f"{path}: a thing lives where its noun lives"


def test_importing_stowfast_loads_no_driver_and_nothing_optional() -> None:
    kept_out = {"typer", "rich", "click", "sqlite3", "hypothesis", "pytest", "obstore", "boto3", "botocore"}
    kept_out |= {"jsonschema", "referencing", "pyarrow", "pandas", "asyncio", "msgspec", "stowfast.records"}
    script = f"import stowfast, sys; print(*sorted({kept_out} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_a_program_loads_the_stores_it_uses() -> None:
    script = (
        "import stowfast, sys\n"
        "with stowfast.sync.open('memory:') as stores: stores.messages.add_message('c', {})\n"
        "print(*sorted(name for name in sys.modules if name.startswith(('stowfast.stores.', 'stowfast.backends.'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {".".join(name.split(".")[:3]) for name in done.stdout.split()}
    assert "stowfast.stores.messages" in loaded
    assert not loaded & {f"stowfast.stores.{name}" for name in ("artifacts", "tasks", "documents")}
    assert not loaded & {f"stowfast.backends.{name}" for name in ("sqlite", "objects", "postgres")}


def test_an_object_store_s_backend_loads_no_boto3_before_a_profile_needs_it() -> None:
    script = "import stowfast.backends.objects.backend, sys; print(*sorted({'boto3', 'botocore'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
