r"""The stored form of a version: one line of JSON, then the content, unless a blob holds it.

    {"mime_type": ..., "size": ..., "sha256": ..., "encoding": ..., "blob": ..., "checksums": ...} \n content

A blob holds exactly the bytes of the content, so that other programs can read it. `checksums` is the base64 of one
CRC-32, little-endian, for each MiB of a blob, to check a part of it alone.

The note of the head has the record of the newest version, for lists. A record of over 64 KiB is there without its
largest fields, which `left_out` names: the entry alone has them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.abc import MAX_HEAD_BYTES
from stowfast.errors import DamagedError, InvalidError
from stowfast.records import ArtifactInfo
from stowfast.stores.codec import decode, encode, stream_name, to_time
from stowfast.stores.labels import metadata_of

if TYPE_CHECKING:
    from stowfast.abc import Entry, Head, Receipt
    from stowfast.stores.artifacts.digest import Digest

__all__ = [
    "DESCRIBES",
    "INLINE_BYTES",
    "KIND",
    "Version",
    "announcement",
    "blob_record",
    "check_record",
    "content_of",
    "in_head",
    "info_of",
    "newest_of",
    "note_after",
    "stream_of",
]

KIND: Final = "artifacts"

INLINE_BYTES: Final = 32 * 2**10
"""The largest content in the version's entry; larger content is a blob beside it."""

DESCRIBES: Final = ("context_id", "task_id", "name", "description", "mime_type", "metadata", "schema")

_MAX_RECORD_BYTES: Final = 2**25
"""The largest record before its content is known. In an entry of 64 MiB it leaves room for the checksums of 6 TiB."""

_SHORT_BYTES: Final = 2**15
"""What a head keeps of a larger record: it has room for blobs and a time beside it."""

_LABELS: Final = ("context_id", "task_id")
"""Those of `DESCRIBES` that the labels of the head have, too."""

_TYPES: Final[dict[str, Any]] = {
    **dict.fromkeys(("size",), int),
    **dict.fromkeys(("sha256", "encoding"), str),
    **dict.fromkeys(("context_id", "task_id", "name", "description", "mime_type", "blob", "checksums"), str | None),
    **dict.fromkeys(("rows", "created_at"), int | None),
    **dict.fromkeys(("metadata", "schema"), dict | None),
    "left_out": list | None,
}
"""The type of each field of a record; None: it may be absent."""

_KINDS: Final = {"bytes": "file", "text": "file", "json": "data", "rows": "dataset"}


class Version(NamedTuple):
    """One version as it is stored."""

    info: ArtifactInfo
    encoding: str
    blob: str | None
    """None: the content is here."""
    checksums: bytes
    content: bytes

    @classmethod
    def read(cls, artifact_id: str, head: Head, entry: Entry) -> Version:
        """Read an entry.

        Raises:
            DamagedError: it is no version of an artifact.
        """
        where = f"artifact {artifact_id!r}, version {entry.position + 1}"
        line, _, content = entry.data.partition(b"\n")  # JSON never has a line break of its own
        record = _record(line, where)
        info = info_of(artifact_id, record, head, entry.position, entry.created_at, head.expires_at)
        try:
            checksums = b64decode(record.get("checksums", ""), validate=True)
        except (ValueError, TypeError) as error:
            raise DamagedError(f"{where}: its checksums do not decode") from error
        return cls(info, record["encoding"], record.get("blob"), checksums, content)

    @property
    def where(self) -> str:
        """The name of the version in errors."""
        return f"artifact {self.info.artifact_id!r}, version {self.info.version}"


def _record(data: bytes, where: str) -> dict[str, Any]:
    """Decode the record of a version.

    Raises:
        DamagedError: it is no record, or a field has another type.
    """
    record = decode(data, where)
    if not isinstance(record, dict) or not all(isinstance(record.get(key), of) for key, of in _TYPES.items()):
        raise DamagedError(f"{where}: this is not an artifact")
    return record


def stream_of(artifact_id: str) -> str:
    """Return the stream of an artifact, its id checked."""
    return stream_name(KIND, "artifact_id", artifact_id)


def blob_record(blob: str, digest: Digest) -> dict[str, Any]:
    """Return the record of a blob in its version."""
    return {"blob": blob, "checksums": b64encode(digest.checksums).decode()}


def info_of(
    artifact_id: str, record: dict[str, Any], of: Head | Receipt, position: int, created_at: int, expires_at: int | None
) -> ArtifactInfo:
    """Return a version without its content."""
    given: dict[str, Any] = {key: record.get(key) for key in (*DESCRIBES, "size", "sha256")}
    return ArtifactInfo(
        artifact_id=artifact_id,
        **given,
        kind=_KINDS.get(record["encoding"], "file"),
        rows=record.get("rows"),
        version=position + 1,
        created_at=to_time(created_at, f"artifact {artifact_id!r}"),
        expires_at=None if expires_at is None else to_time(expires_at, f"artifact {artifact_id!r}"),
        incarnation=of.incarnation,
        left_out=tuple(record.get("left_out", ())),
    )


def check_record(record: dict[str, Any], artifact_id: str) -> None:
    """Check what describes a version, before its content is read.

    Raises:
        InvalidError: JSON cannot store it, or it has over 32 MiB.
    """
    what = f"what describes artifact {artifact_id!r}, its metadata included,"
    size = len(encode(record, what))
    if size > _MAX_RECORD_BYTES:
        raise InvalidError(
            f"{what} has {size:,} bytes as JSON, the limit is {_MAX_RECORD_BYTES:,}: "
            "keep what is large as content, of this artifact or of another"
        )


def in_head(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a version for the head: whole up to 64 KiB, else without its largest fields."""
    if len(encode(record, "what describes an artifact")) <= MAX_HEAD_BYTES:
        return record
    sizes = {key: len(encode(record[key], key)) for key in DESCRIBES}
    left_out = []
    for key in sorted(sizes, key=lambda key: sizes[key], reverse=True):
        if sum(sizes.values()) > _SHORT_BYTES:
            left_out.append(key)
            del sizes[key]
    return {key: value for key, value in record.items() if key not in left_out} | {"left_out": left_out}


def _from_head(head: Head, where: str) -> dict[str, Any]:
    """Return the record in a head, with what its labels tell of the fields that were left out."""
    record = _record(head.note, where)
    left_out = [key for key in DESCRIBES if key in (record.get("left_out") or ())]
    if not left_out:
        return record
    told: dict[str, Any] = {key: head.labels.get(key) for key in _LABELS if key in left_out}
    if "metadata" in left_out:
        told["metadata"] = metadata_of(head.labels, where)
    return record | told | {"left_out": [key for key in left_out if key not in _LABELS]}


def announcement(record: dict[str, Any]) -> bytes:
    """Return the head note of an artifact without a version, for `newest_of`."""
    return encode(in_head({**record, "encoding": "bytes", "size": 0, "sha256": ""}), "what describes an artifact")


def newest_of(head: Head) -> ArtifactInfo:
    """Return the newest version as the head describes it."""
    artifact_id = head.name.removeprefix(f"{KIND}/")
    record = _from_head(head, f"artifact {artifact_id!r}")
    return info_of(artifact_id, record, head, head.next - 1, record.get("created_at", head.updated_at), head.expires_at)


def note_after(head: Head) -> bytes:
    """Return the head note for a change without a new version: the newest version keeps its time."""
    record = _record(head.note, head.name)
    return encode({"created_at": head.updated_at, **record}, "what describes an artifact")


def content_of(version: Version, body: bytes) -> Any:
    """Return content as it was given, once its bytes were checked."""
    if version.encoding in {"bytes", "rows"}:
        return body
    if version.encoding == "text":
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise DamagedError(f"{version.where}: its text is not UTF-8") from error
    if version.encoding == "json":
        return decode(body, version.where)
    raise DamagedError(f"{version.where}: unknown encoding {version.encoding!r}")
