"""Objects with valid checksums from a hostile or broken writer: Stowfast never writes them."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

from stowfast import DamagedError, UnsupportedError
from stowfast.backends.objects.protocol.requests import Token
from stowfast.backends.objects.protocol.segment import parse_segment, unpack
from stowfast.backends.objects.protocol.state import SegmentRef, decode_state

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN: Final = Token("e-tag", None)
REFUSED: Final = object()


def forged_frame(description: dict[str, Any] | bytes, entries: bytes = b"", described: int | None = None) -> bytes:
    """Make a frame with any description, even with a wrong length."""
    written = description if isinstance(description, bytes) else json.dumps(description).encode()
    body = struct.pack("<I", len(written) if described is None else described) + written + entries
    return struct.pack("<II", len(body), zlib.crc32(body)) + body


def forged_head(header: dict[str, Any] | bytes, tail: bytes = b"", *, note: bytes = b"", kind: int = 0) -> bytes:
    """Make a head of any header and tail."""
    written = header if isinstance(header, bytes) else json.dumps({"checksum": zlib.crc32(tail), **header}).encode()
    written += b" " * ((kind - (16 + len(written) + len(note) + len(tail))) % 4)
    prefix = struct.pack("<4sII", b"SFH\x01", len(written), len(note))
    return prefix + struct.pack("<I", zlib.crc32(prefix + written + note)) + written + note + tail


def forged_segment(
    footer: dict[str, Any] | bytes, blocks: bytes, *, length: int | None = None, **told: int
) -> tuple[SegmentRef, bytes]:
    """Make a segment with any footer, and its reference in a head."""
    written = footer if isinstance(footer, bytes) else json.dumps(footer).encode()
    end = written + struct.pack("<I", len(written) if length is None else length)
    body = b"SFS\x01" + blocks + end
    fields = {"first": 0, "next": 1, "count": 1, "raw": 1, "calls": 0, "blobs": 0, **told}
    return SegmentRef(id="5e6", size=len(body), footer=len(end), crc=zlib.crc32(written), **fields), body


def read_head(name: str, body: bytes) -> Any:
    """Return the content of the head, or REFUSED. Any other exception fails the test."""
    try:
        return decode_state(name, body, TOKEN)
    except (DamagedError, UnsupportedError):
        return REFUSED


def read_segment(name: str, ref: SegmentRef, body: bytes) -> Any:
    try:
        blocks = parse_segment(name, ref, body).blocks
        return [one for block in blocks for one in unpack(name, block, body[block.offset : block.offset + block.size])]
    except (DamagedError, UnsupportedError):
        return REFUSED


def refuses(call: Callable[..., object], *arguments: object) -> bool:
    """Say whether a decoder refuses this."""
    try:
        call(*arguments)
    except (DamagedError, UnsupportedError):
        return True
    return False
