"""The content of an object of the bucket as plain JSON, and conversions between it and Stowfast's types.

Bytes are text with one byte for each character (Latin-1), so most of it can be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stowfast.abc import Head
from stowfast.backends.objects.protocol.frames import Frame, Operation, frame
from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.segment import Footer, build, unpack
from stowfast.backends.objects.protocol.state import EXPIRING, GONE, LIVING, SegmentRef, State, encode_state

if TYPE_CHECKING:
    from collections.abc import Sequence

OBJECTS: Final = Path(__file__).parent / "objects"
KINDS: Final = {LIVING: "living", EXPIRING: "expiring", GONE: "gone"}

Content = dict[str, Any]


def frame_of(content: Content) -> Frame:
    """Make a frame."""
    entries = [data.encode("latin-1") for data in content["entries"]]
    return frame(
        content["first"],
        content["next"],
        content["at"],
        entries,
        start=content["start"],
        by=content["by"],
        op_id=content["op_id"],
        commit=content["commit"],
        blobs=content["blobs"],
    )


def content_of_frame(one: Frame) -> Content:
    """Describe a frame."""
    entries = [entry.data.decode("latin-1") for entry in one.entries()]
    return {
        "first": one.first,
        "next": one.next,
        "at": one.at,
        "start": one.start,
        "by": one.by,
        "op_id": one.op_id,
        "commit": one.commit,
        "blobs": list(one.blobs),
        "entries": entries,
    }


def write_head(content: Content) -> bytes:
    """Write a head object."""
    stream, head = content["stream"], None
    if stream is not None:
        note = content["note"].encode("latin-1")
        head = Head(name=content["name"], note=note, **stream)
    return encode_state(
        State(
            name=content["name"],
            head=head,
            life=content["life"],
            commit=content["commit"],
            recent=tuple(content["recent"]),
            operations=tuple(Operation(**one) for one in content["operations"]),
            segments=tuple(SegmentRef(**one) for one in content["segments"]),
            tail=tuple(frame_of(one) for one in content["tail"]),
            origin=content["origin"],
            dropped=content["dropped"],
            condemned=tuple(content["condemned"]),
            grave=tuple(content["grave"]),
        )
    )


def content_of_head(state: State, size: int) -> Content:
    """Describe a head of so many bytes."""
    stream, place = None, keys_of(state.name)
    if state.head is not None:
        stream = state.head._asdict()
        del stream["name"], stream["note"]
    return {
        "kind": KINDS[size % 4],
        "name": state.name,
        "life": state.life,
        "commit": state.commit,
        "recent": list(state.recent),
        "origin": state.origin,
        "dropped": state.dropped,
        "condemned": list(state.condemned),
        "grave": list(state.grave),
        "operations": [_fields(one) for one in state.operations],
        "segments": [_fields(one) for one in state.segments],
        "stream": stream,
        "note": state.head.note.decode("latin-1") if state.head is not None else "",
        "tail": [content_of_frame(one) for one in state.tail],
        "keys": [
            place.head,
            *(place.segment(state.life, one.id) for one in state.segments),
            *(place.blob(blob) for one in state.tail for blob in one.blobs),
        ],
    }


def write_segment(
    content: Content, old: Sequence[tuple[Footer, bytes]], frames: Sequence[Content], block: int
) -> tuple[SegmentRef, bytes]:
    """Write a segment of whole older ones and of frames behind them."""
    made = [frame_of(one) for one in frames]
    return build(content["name"], content["incarnation"], content["id"], old, made, block)


def content_of_segment(ref: SegmentRef, footer: Footer, body: bytes) -> Content:
    """Describe a segment. Sizes and checksums of zlib's output are those of this very object."""
    hashes = [footer.calls[start : start + 8][::-1].hex() for start in range(0, len(footer.calls), 8)]
    return {
        "ref": _fields(ref),
        "name": footer.name,
        "incarnation": footer.incarnation,
        "calls": hashes,
        "links": [_fields(one) for one in footer.links],
        "blocks": [
            {
                **_fields(one),
                "frames": [
                    content_of_frame(found)
                    for found in unpack(footer.name, one, body[one.offset : one.offset + one.size])
                ],
            }
            for one in footer.blocks
        ],
    }


def _fields(struct: msgspec.Struct) -> Content:
    return msgspec.structs.asdict(struct)
