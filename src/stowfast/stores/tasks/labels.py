"""Labels of a task: its status, the things it belongs to, and its metadata.

Metadata stand in the labels of the head, so that a save with the same metadata is a plain append, and a list shows them
without a request for each task. Larger ones stand in the version alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import DamagedError
from stowfast.stores.codec import decode, encode, labels_of
from stowfast.stores.labels import beside_own, check_metadata, metadata_labels, wanted_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Head

__all__ = ["LABELS", "SPILLED", "labels_with", "metadata_of", "own_labels", "wanted_of"]

LABELS: Final = ("context_id", "agent_id", "parent_task_id", "status")

_METADATA: Final = "metadata"
SPILLED: Final = ""
"""The label of metadata that stand in the newest version alone."""
_MAX_LABEL_BYTES: Final = 16 * 2**10
"""Bytes of metadata as a label. Every commit to a bucket uploads the labels, so they stay small."""


def labels_with(own: Mapping[str, str], metadata: dict[str, Any]) -> dict[str, str]:
    """Return the labels of a task with these metadata.

    Raises:
        InvalidError: the metadata are no JSON object, or too many of them are searchable.
    """
    if not check_metadata(metadata):
        return dict(own)
    text = encode(metadata, "metadata")
    whole = text.decode() if len(text) <= _MAX_LABEL_BYTES else SPILLED
    return {**own, _METADATA: whole, **beside_own(metadata_labels(metadata))}


def own_labels(head: Head) -> dict[str, str]:
    """Return the labels that are no metadata.

    Raises:
        DamagedError: they are not those of a task.
    """
    own = {key: value for key, value in head.labels.items() if not key.startswith(":") and key != _METADATA}
    if not {"status"} <= own.keys() <= set(LABELS):
        raise DamagedError(f"{head.name}: its labels are not those of a task")
    return own


def metadata_of(head: Head) -> dict[str, Any] | None:
    """Return the metadata of the newest version; None: only the version has them.

    Raises:
        DamagedError: the label holds no JSON object.
    """
    text = head.labels.get(_METADATA)
    if text is None:
        return {}
    if text == SPILLED:
        return None
    metadata = decode(text.encode(), head.name)
    if not isinstance(metadata, dict):
        raise DamagedError(f"{head.name}: its metadata are no JSON object")
    return metadata


def wanted_of(wanted: Mapping[str, str | None], where: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the labels that a list or a claim asks for.

    Raises:
        InvalidError: a value is not text, or of `where` not a short text, a number, a boolean or None.
    """
    return labels_of(LABELS, wanted) | beside_own(wanted_labels(where))
