"""The public methods of the stores, with valid arguments for each: for tests of all methods."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stowfast import Artifact, Lease, Retention, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.faulty_s3.server import FaultyS3

MINUTE = timedelta(minutes=1)
LEASE = Lease("t", "w", 1, datetime(2026, 1, 1, tzinfo=UTC))
"""The lease of another claim: it is looked up, and refused."""

ARGUMENTS: dict[str, dict[str, dict[str, Any]]] = {
    # by store and method. A method that is added needs a row.
    "messages": {
        "add_message": {"context_id": "c", "message": {}},
        "add_messages": {"context_id": "c", "messages": [{}]},
        "get_messages": {"context_id": "c"},
        "read": {"context_id": "c"},
        "entries": {"context_id": "c"},
        "watch": {"context_id": "c", "after": -1},
        "count": {"context_id": "c"},
        "pop_message": {"context_id": "c"},
        "replace_messages": {"context_id": "c", "messages": [{}], "start": 0},
        "fork": {"context_id": "c", "new_context_id": "d"},
        "compact": {"context_id": "c", "keep_last": 0, "summary": {}},
        "delete": {"context_id": "c"},
        "contexts": {},
        "info": {"context_id": "c"},
        "set_metadata": {"context_id": "c", "metadata": {}},
        "update_metadata": {"context_id": "c", "metadata": {}},
        "set_expiry": {"context_id": "c", "expires_at": None},
    },
    "artifacts": {
        "create": {"artifact": Artifact(artifact_id="a", content=b"x" * 200_000)},
        "update": {"artifact": Artifact(artifact_id="b", content=b"y" * 200_000)},
        "put": {"artifact": Artifact(artifact_id="b", content=b"z" * 200_000)},
        "open_writer": {"artifact_id": "w"},
        "open_live": {"artifact_id": "l"},
        "open_dataset": {"artifact_id": "s"},
        "get": {"artifact_id": "b"},
        "info": {"artifact_id": "b"},
        "open_reader": {"artifact_id": "b"},
        "open_file": {"artifact_id": "b"},
        "url": {"artifact_id": "b"},
        "follow": {"artifact_id": "b"},
        "rows": {"artifact_id": "b"},
        "versions": {"artifact_id": "b"},
        "to_arrow": {"artifact_id": "b"},
        "to_pandas": {"artifact_id": "b"},
        "to_parquet": {"artifact_id": "b", "path": "no/such/folder/b.parquet"},
        "list": {},
        "prune": {"artifact_id": "b", "keep": 1},
        "set_expiry": {"artifact_id": "b", "expires_at": None},
        "delete": {"artifact_id": "b"},
    },
    "tasks": {
        "save": {"state": TaskState(task_id="t")},
        "update": {"task_id": "t", "change": lambda _: None},
        "load": {"task_id": "t"},
        "load_many": {"task_ids": ["t"]},
        "watch": {"task_id": "t", "after": 0},
        "history": {"task_id": "t"},
        "diff": {"task_id": "t", "a": 1, "b": 1},
        "rewind": {"task_id": "t", "version": 1},
        "prune": {"task_id": "t", "keep": 1},
        "claim": {"task_id": "t", "owner": "w", "ttl": MINUTE},
        "claim_next": {"owner": "w", "ttl": MINUTE},
        "renew": {"lease": LEASE, "ttl": MINUTE},
        "release": {"lease": LEASE},
        "work": {"owner": "w", "ttl": MINUTE},
        "record": {"task_id": "t", "step_key": "k", "result": 1},
        "steps": {"task_id": "t"},
        "info": {"task_id": "t"},
        "list": {},
        "set_expiry": {"task_id": "t", "expires_at": None},
        "delete": {"task_id": "t"},
    },
    "documents": {
        "put": {"document_id": "d", "data": {}},
        "get": {"document_id": "d"},
        "update": {"document_id": "d", "change": lambda _: None, "default": {}},
        "list": {},
        "set_expiry": {"document_id": "d", "expires_at": None},
        "delete": {"document_id": "d"},
    },
    "rules": {
        "set": {"kind": "messages", "retention": Retention(count=1_000)},
        "list": {},
        "due": {},
        "carry_out": {},
        "remove": {"kind": "messages"},
    },
    "stores": {
        "changes": {"kind": "messages"},
        "sweep": {},
        "delete_context": {"context_id": "c"},
    },
    "scope": {
        "delete_all": {},
    },
}
NOT_CALLED = {"close", "within", "stats"}
"""They ask nobody: they work where nothing else does."""


def impatient_url(place: str, folder: Path, server: FaultyS3) -> str:
    """Return the URL of a place whose calls give up after seconds."""
    return {
        "memory": "memory:",
        "sqlite": f"sqlite:///{folder}/agent.db?timeout=2",
        "s3": f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout=3",
    }[place]


def of(stores: Any, name: str) -> Any:
    """Return the object of a row: a store, the stores themselves, or a scope of them."""
    return stores if name == "stores" else stores.within("s") if name == "scope" else getattr(stores, name)


def public(store: object) -> set[str]:
    """Return the names of the public methods."""
    return {name for name, value in inspect.getmembers(type(store)) if not name.startswith("_") and callable(value)}


def calls(stores: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield every call, with its name."""
    for store, methods in ARGUMENTS.items():
        for name, arguments in methods.items():
            method = getattr(of(stores, store), name)
            yield f"{store}.{name}", lambda method=method, arguments=arguments: method(**arguments)  # type: ignore[misc]
