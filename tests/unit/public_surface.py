"""The public functions and methods that are in no row of `public_calls`, with valid arguments: for tests of all."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import stowfast
import stowfast.sync
from stowfast import aws, importing, moving, sqlite, wrappers
from stowfast.abc import Change, Query
from stowfast.backends.memory import MemoryBackend
from tests.house.reference import members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODULES = (stowfast, stowfast.sync, moving, sqlite, importing, aws, wrappers)


class Scene(NamedTuple):
    """Open stores with a conversation and an artifact, and a folder."""

    folder: Path
    stores: stowfast.Stores
    number: Iterator[int]
    one: moving.Generation

    def fresh(self, suffix: str = "") -> str:
        """Return a path where nothing is."""
        return f"{self.folder}/{next(self.number)}{suffix}"

    @property
    def archive(self) -> str:
        return f"{self.folder}/kept/"

    @property
    def file(self) -> str:
        return f"{self.folder}/agent.db"


KEEP = stowfast.Retention(versions=1)
SOME = moving.Selection(prefix="messages/")
NONE = moving.Selection(prefix="messages/none", where={"user": "nobody"})
Case = tuple[Any, "Callable[[Scene], dict[str, Any]]"]
"""A function, and the arguments that it takes."""


FUNCTIONS: dict[str, Case] = {
    "stowfast.to_json": (stowfast.to_json, lambda _: {"value": 1}),
    "stowfast.open": (stowfast.open, lambda _: {"url": "memory:"}),
    "stowfast.sync.open": (stowfast.sync.open, lambda _: {"url": "memory:"}),
    "stowfast.sync.over": (stowfast.sync.over, lambda scene: {"opened": stowfast.Stores(MemoryBackend())}),
    "moving.add_generation": (
        moving.add_generation,
        lambda scene: {"source": scene.stores, "archive": f"{scene.fresh()}/", "keep": KEEP},
    ),
    "moving.backup": (
        moving.backup,
        lambda scene: {"source": scene.stores, "target": f"sqlite:///{scene.fresh('.db')}"},
    ),
    "moving.restore": (moving.restore, lambda scene: {"source": f"sqlite:///{scene.file}", "target": "memory:"}),
    "moving.copy": (moving.copy, lambda scene: {"source": scene.stores, "target": "memory:"}),
    "moving.move": (
        moving.move,
        lambda scene: {"source": f"sqlite:///{scene.file}", "target": "memory:", "selection": NONE},
    ),
    "moving.erase": (moving.erase, lambda scene: {"place": scene.stores, "selection": NONE}),
    "moving.export": (moving.export, lambda scene: {"place": scene.stores, "folder": scene.fresh(), "selection": SOME}),
    "moving.find": (moving.find, lambda scene: {"place": scene.stores, "selection": SOME}),
    "moving.remove": (moving.remove, lambda scene: {"place": scene.stores, "selection": NONE}),
    "moving.generations": (moving.generations, lambda scene: {"archive": scene.archive}),
    "moving.generation_at": (moving.generation_at, lambda scene: {"archive": scene.archive}),
    "moving.opened_generation": (moving.opened_generation, lambda scene: {"archive": scene.archive, "one": scene.one}),
    "moving.measure": (moving.measure, lambda scene: {"place": scene.stores, "group": lambda head: head.name}),
    "moving.statistics": (moving.statistics, lambda scene: {"place": scene.stores}),
    "moving.verify": (moving.verify, lambda scene: {"place": scene.stores}),
    "sqlite.backup": (sqlite.backup, lambda scene: {"source": scene.file, "target": scene.fresh(".db")}),
    "sqlite.restore": (sqlite.restore, lambda scene: {"source": scene.file, "target": scene.fresh(".db")}),
    "sqlite.compact": (sqlite.compact, lambda scene: {"path": scene.file}),
    "importing.import_from": (
        importing.import_from,
        lambda scene: {"kind": "openai-agents", "source": f"{scene.folder}/theirs.db", "target": "memory:"},
    ),
}
"""Functions, by module and name. One that is added needs a row."""

HANDLES: dict[str, dict[str, Any]] = {
    "open_writer": {"write": {"piece": b"x"}, "close": {}, "abort": {}},
    "open_live": {"write": {"piece": b"x"}, "flush": {}, "close": {}, "abort": {}},
    "open_dataset": {"append": {"rows": [{"n": 1}]}, "close": {}, "abort": {}},
    "open_reader": {"read": {}, "seek": {"offset": 0}, "tell": {}, "content": {}, "close": {}},
}
"""The methods of what a method of the artifacts opens."""

BACKEND: dict[str, dict[str, Any]] = {
    "commit": {"stream": "s/a", "change": Change(entries=[b"x"])},
    "commit_many": {"changes": [("s/a", Change(entries=[b"x"]))]},
    "read": {"stream": "s/a"},
    "read_many": {"reads": []},
    "remembered": {"stream": "s/a"},
    "heads": {"streams": ["s/a"]},
    "streams": {"query": Query("s/")},
    "wait": {"stream": "s/a", "incarnation": None, "next": 0, "timeout": 0.0},
    "write_blob": {"stream": "s/a"},
    "read_blob": {"stream": "s/a", "blob": "0" * 32},
    "blob_url": {"stream": "s/a", "blob": "0" * 32, "expires": timedelta(minutes=1)},
    "now": {},
    "sweep": {},
    "close": {},
    "open": {"url": "memory:"},
    "option_names": {"scheme": "memory"},
}
"""The methods of a wrapper: those of a backend."""

CONSTRUCTORS: dict[str, Case] = {
    **{
        f"aws.{name}": (
            getattr(aws, name),
            lambda _: {"bucket": "bucket", "endpoint_url": "http://127.0.0.1:1", "anonymous": True},
        )
        for name in aws.__all__
    },
    "wrappers.Wrapper": (wrappers.Wrapper, lambda _: {"backend": MemoryBackend()}),
    "wrappers.Shared": (wrappers.Shared, lambda _: {"backend": MemoryBackend()}),
    "wrappers.Prefixed": (wrappers.Prefixed, lambda _: {"backend": MemoryBackend(), "prefix": "p/"}),
    "wrappers.Patient": (wrappers.Patient, lambda _: {"backend": MemoryBackend()}),
}
"""Classes that a program makes, by module and name."""


def names_of(module: Any) -> set[str]:
    """Return the public functions of a module, and the classes with methods of their own, by module and name."""
    found = {name: getattr(module, name) for name in module.__all__}
    prefix = module.__name__.removeprefix("stowfast.") if module is not stowfast.sync else module.__name__
    return {f"{prefix}.{name}" for name, value in found.items() if _is_called(value)}


def _is_called(value: Any) -> bool:
    if inspect.isclass(value):
        return any(callable(getattr(value, name, None)) for name in members(value))
    return callable(value)
