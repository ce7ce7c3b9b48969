"""What is seen first in a notebook: stores name their backend, and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast
from stowfast.backends.memory import MemoryBackend
from stowfast.wrappers import Patient
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from pathlib import Path


def test_stores_name_their_backend(tmp_path: Path) -> None:
    with stowfast.sync.open(f"sqlite:///{tmp_path}/agent.db") as stores:
        assert repr(stores) == f"<sync.Stores over SQLiteBackend('{tmp_path}/agent.db')>"
        assert repr(stores.async_stores) == f"<Stores over SQLiteBackend('{tmp_path}/agent.db')>"
        assert repr(stores.within("ada")).startswith("<sync.Scope over ScopedBackend(SQLiteBackend(")
    assert repr(stowfast.Stores(Patient(MemoryBackend()))) == "<Stores over Patient(MemoryBackend())>"


def test_stores_show_no_secret() -> None:
    with FaultyS3() as server:
        url = f"s3://bucket/agents?endpoint_url={server.endpoint}&access_key_id=hunter1&secret_access_key=hunter2"
        with stowfast.sync.open(url) as stores:
            assert "hunter" not in repr(stores)
            assert "ObjectBackend" in repr(stores)


def test_a_star_import_keeps_the_builtin() -> None:
    names: dict[str, object] = {}
    exec("from stowfast import *", names)
    assert "open" not in names
    assert "Stores" in names


def test_a_record_shows_only_its_fields_without_defaults() -> None:
    with stowfast.sync.open("memory:") as stores:
        stores.artifacts.put(stowfast.Artifact(artifact_id="a", content=b"", metadata={"user": "ada"}))
        stores.documents.put("d", None)
        info = stores.artifacts.info("a")
        assert info is not None
        assert repr(info).startswith("ArtifactInfo(artifact_id='a', mime_type='application/octet-stream', metadata=")
        assert "rows" not in repr(info)
        assert "incarnation" not in repr(info)
        assert repr(stores.documents.get("d")).startswith("Document(document_id='d', data=None, version=1, created_at=")
    assert repr(stowfast.TaskState(task_id="t", status="done")) == "TaskState(task_id='t', status='done')"
    assert repr(stowfast.Artifact(artifact_id="a", content=0)) == "Artifact(artifact_id='a', content=0)"
