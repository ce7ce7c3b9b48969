"""`StowfastCheckpointStorage`: the checkpoints of workflows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.agent_framework.values import CheckpointValues
from stowfast.adapters.closing import WithAclose
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError, DamagedError, InvalidError

with extra("agent-framework"):
    from agent_framework import WorkflowCheckpoint, WorkflowCheckpointException

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stowfast import sync
    from stowfast.records import Document
    from stowfast.stores import Stores

__all__ = ["StowfastCheckpointStorage"]

_ROOT: Final = "agent-framework-checkpoints"
_PAGE: Final = 1_000_000
"""Checkpoints of one listing. A second page by recency could miss one that was saved anew meanwhile."""


class StowfastCheckpointStorage(WithAclose):
    """Checkpoints of Agent Framework in memory, a SQLite file, a bucket or PostgreSQL.

    A checkpoint is a document, written whole in one commit and stored durably when `save` returns. A lost answer stays
    inside. Each call returns objects of its own.

    Checkpoints are JSON, and nothing is pickled: a stored checkpoint runs no code. Allowed are the types of Python's
    values, data types of the framework, types of `register_checkpoint_type`, and yours. Messages and contents are
    stored without the raw objects of a provider. An object that is held twice comes back as two.

    Args:
        stores: a URL, or open stores of either face.
        allowed_checkpoint_types: types of yours in a state or a message: dataclasses, pydantic models, enums and plain
            classes, as classes or as texts `module:qualname`.
        scope: the scope of these stores to use.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        allowed_checkpoint_types: Iterable[type | str] = (),
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._values = CheckpointValues(allowed_checkpoint_types)
        self._opener = Opener(stores, scope=scope, within=within, **options)

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        """Store a checkpoint, new or in the place of one with its id, and return the id.

        Raises:
            WorkflowCheckpointException: a type is not allowed, or a value has no form in JSON. Nothing was stored.
            UnavailableError: no answer. It may be stored.
        """
        try:
            data = self._values.encode(checkpoint.to_dict())
            document_id, metadata = _document_id(checkpoint.checkpoint_id), _metadata(checkpoint.workflow_name)
        except InvalidError as error:
            raise WorkflowCheckpointException(f"the checkpoint cannot be stored: {error}") from error
        await (await self._opener.open()).documents.put(document_id, data, metadata=metadata)
        return checkpoint.checkpoint_id

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """Return a checkpoint.

        Raises:
            WorkflowCheckpointException: there is none, or a type in it is not allowed.
        """
        document = await (await self._opener.open()).documents.get(_document_id(checkpoint_id))
        if document is None:
            raise WorkflowCheckpointException(f"there is no checkpoint {checkpoint_id!r}")
        return self._checkpoint(document)

    async def list_checkpoints(self, *, workflow_name: str) -> list[WorkflowCheckpoint]:
        """Return the checkpoints of a workflow, the oldest first.

        Raises:
            WorkflowCheckpointException: a type in one of them is not allowed.
        """
        return [self._checkpoint(document) for document in await self._documents(workflow_name)]

    async def list_checkpoint_ids(self, *, workflow_name: str) -> list[str]:
        """Return the ids of the checkpoints of a workflow, the oldest first."""
        return [str(document.data["checkpoint_id"]) for document in await self._documents(workflow_name)]

    async def get_latest(self, *, workflow_name: str) -> WorkflowCheckpoint | None:
        """Return the checkpoint of a workflow with the latest time; None if there is none."""
        documents = await self._documents(workflow_name)
        return self._checkpoint(documents[-1]) if documents else None

    async def delete(self, checkpoint_id: str) -> bool:
        """Remove a checkpoint for good. True for one caller of several at once; False if there is none."""
        documents = (await self._opener.open()).documents
        while (found := await documents.get(_document_id(checkpoint_id))) is not None:
            try:
                await documents.delete(found.document_id, expect=found)
            except ConflictError:
                continue  # saved again, or deleted by another
            return True
        return False

    async def _documents(self, workflow_name: str) -> list[Document]:
        """Return the documents of a workflow, by the time of their checkpoint.

        Raises:
            DamagedError: a checkpoint is damaged.
        """
        documents, found, after = (await self._opener.open()).documents, [], None
        where = _metadata(workflow_name)
        while True:
            # On a bucket only a listing by recency keeps an index: one by id reads the checkpoints of all workflows.
            page = await documents.list(prefix=joined(_ROOT, ""), where=where, order="recent", after=after, limit=_PAGE)
            if page.damaged:
                # Without it an older checkpoint would pass for the latest.
                raise DamagedError(
                    f"{len(page.damaged)} checkpoints are damaged, such as {page.damaged[0]!r}: delete them"
                )
            found += list(page)
            after = page.next
            if after is None:
                return sorted(found, key=lambda one: (datetime.fromisoformat(one.data["timestamp"]), one.created_at))

    def _checkpoint(self, document: Document) -> WorkflowCheckpoint:
        try:
            return WorkflowCheckpoint.from_dict(self._values.decode(document.data))
        except (InvalidError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise WorkflowCheckpointException(f"the checkpoint cannot be restored: {error}") from error


def _document_id(checkpoint_id: str) -> str:
    return joined(_ROOT, checkpoint_id)


def _metadata(workflow_name: str) -> dict[str, Any]:
    return {"workflow": joined(workflow_name)}
