"""Artifacts of a source, in the form in which `stores.artifacts` keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.abc import Change
from stowfast.importing.streams import SourceStream, moment_of
from stowfast.moving.blobs import with_blob
from stowfast.stores.artifacts.digest import Digest
from stowfast.stores.artifacts.records import INLINE_BYTES, blob_record, stream_of
from stowfast.stores.artifacts.writing.commit import described, guessed_type
from stowfast.stores.artifacts.writing.dedup import note_of
from stowfast.stores.codec import encode

if TYPE_CHECKING:
    from stowfast.records import ArtifactInfo

__all__ = ["artifact"]


def artifact(info: ArtifactInfo, encoding: str, body: bytes, moment: object = None) -> SourceStream:
    """Return an artifact. Other content replaces its version, as an update does.

    Args:
        info: its id and description, and its number of rows.
        encoding: bytes, text, json or rows.
        body: its content, in this encoding.
        moment: its time, as for `moment_of`.

    Raises:
        InvalidError: its description cannot be stored.
    """
    digest = Digest()
    digest.update(body)
    record, labels = described(info, None)
    record["mime_type"] = record["mime_type"] or guessed_type(info, encoding)
    stored: dict[str, Any] = {"encoding": encoding, "size": digest.size, "sha256": digest.sha256}
    if info.rows is not None:
        stored["rows"] = info.rows
    known = record | stored
    inline = len(body) <= INLINE_BYTES
    line = encode(known if inline else known | blob_record("", digest), "an artifact")
    return SourceStream(
        stream_of(info.artifact_id),
        iter([(moment_of(moment), line + b"\n" + (body if inline else b""))]),
        Change(labels=labels, note=note_of(known, {})),
        newest_only=True,
        equal=_is_same,
        content=None if inline else body,
    )


def _is_same(one: bytes, other: bytes) -> bool:
    return one == other or with_blob(one, "") == with_blob(other, "")
