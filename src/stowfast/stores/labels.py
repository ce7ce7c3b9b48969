"""Labels of metadata: its short scalars, by which listings select."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import MAX_HEAD_BYTES
from stowfast.errors import InvalidError, shown
from stowfast.stores.codec import decode, encode
from stowfast.stores.json_check import not_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["beside_own", "check_metadata", "metadata_labels", "metadata_of", "wanted_labels"]

_MAX_LABEL_BYTES: Final = 500
"""Bytes of a key with its value, as JSON. A longer value is stored, and no listing selects by it."""

_MARK: Final = ":"


def check_metadata(metadata: object) -> dict[str, Any]:
    """Return metadata as they are.

    Raises:
        InvalidError: they are no JSON object.
    """
    if not isinstance(metadata, dict):
        raise not_json(metadata, "metadata", "it must be a JSON object, a dict")
    encode(metadata, "metadata")
    return metadata


def metadata_labels(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the short texts, numbers, booleans and None of metadata as JSON, by their keys.

    Raises:
        InvalidError: they have over 64 KiB together.
    """
    labels = {key: label for key, value in metadata.items() if (label := _label(key, value)) is not None}
    size = sum(len(key.encode()) + len(label.encode()) for key, label in labels.items())
    if size > MAX_HEAD_BYTES:
        raise InvalidError(
            f"metadata: its short values have {size:,} bytes together, the limit is {MAX_HEAD_BYTES:,}: "
            "put those that no list selects by into one value, a dict"
        )
    return labels


def beside_own(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels of metadata under names that no label of a store itself has.

    One character is less than JSON needs for a pair, so the labels of metadata are never larger than the metadata.
    """
    return {f"{_MARK}{key}": label for key, label in labels.items()}


def metadata_of(labels: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return the metadata that labels under such names stand for: the short values.

    Raises:
        DamagedError: a label is not JSON.
    """
    own = {key[1:]: label for key, label in labels.items() if key.startswith(_MARK)}
    return {key: decode(label.encode(), where) for key, label in own.items()}


def wanted_labels(where: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the labels that a listing asks for.

    Raises:
        InvalidError: `where` is no dict, or a value is not a short text, a number, a boolean or None.
    """
    if where is None:
        return {}
    if not isinstance(where, dict):
        raise InvalidError(f"where must be a dict, not {type(where).__name__}")
    labels = {}
    for key, value in dict(where).items():
        label = _label(key, value)
        if label is None:
            raise InvalidError(f"where: {shown(key)} is not a short text, a number, a boolean or None")
        labels[key] = label
    return labels


def _label(key: str, value: Any) -> str | None:
    if isinstance(value, dict | list) or len(encode({key: value}, "metadata")) > _MAX_LABEL_BYTES:
        return None
    return encode(value, "metadata").decode()
