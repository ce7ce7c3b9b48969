"""Reads Stowfast's objects with Python's standard library alone: `python3 reader.py FILE`.

Written from docs/design/object-format.md and from nothing else: the page is enough to write a reader.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from base64 import b32encode, b64decode
from pathlib import Path
from typing import Any

HEADER: dict[str, Any] = {"origin": "", "dropped": 0, "condemned": [], "grave": [], "operations": [], "segments": []}
STREAM: dict[str, Any] = {"first": 0, "next": 0, "length": 0, "base": 0, "revision": 0, "labels": {}}
CALL: dict[str, Any] = {"first": 0, "next": 0, "at": 0, "by": "", "op_id": None, "commit": 0, "blobs": []}
TIMES = {"created_at": 0, "updated_at": 0, "expires_at": None}
OPERATION = ("op_id", "incarnation", "first", "next", "at", "commit")
BLOCK = ("offset", "size", "crc", "first", "next", "count", "raw")
LINK = ("blob", "first", "last")
SEGMENT = ("id", "first", "next", "count", "raw", "size", "footer", "crc", "calls", "blobs")


def check(right: bool, what: str) -> None:
    if not right:
        raise ValueError(what)


def code(text: str) -> str:
    def of(byte: int) -> str:
        for last, mark in ((0x2C, "!"), (0x2D, ""), (0x2F, "."), (0x39, ""), (0x60, "_"), (0x7A, ""), (0xFF, "~")):
            if byte <= last:
                return f"{mark}{byte:02x}" if mark else chr(byte)
        raise AssertionError

    return "".join(map(of, text.encode()))


def path_of(name: str) -> str:
    kind, slash, rest = name.partition("/")
    kind = code(kind)
    if not slash or not 0 < len(kind) <= 60:
        kind, rest = "+", name
    written = code(rest) or "!"
    if len(written) > 200:
        told = b32encode(hashlib.sha256(rest.encode()).digest()).decode()
        written = f"{written[:120]}={told.lower().rstrip('=')}"
    return f"{kind}/{written}"


def read_frames(raw: bytes) -> list[dict[str, Any]]:
    frames, offset = [], 0
    while offset < len(raw):
        length, crc, described = struct.unpack_from("<III", raw, offset)
        rest = raw[offset + 8 : offset + 8 + length]
        check(len(rest) == length and zlib.crc32(rest) == crc, "a frame does not match its checksum")
        told = json.loads(rest[4 : 4 + described])
        first, sizes, start = told["first"], told["sizes"], told.get("start", -1)
        start = first if start == -1 else start
        check(4 + described + sum(sizes) == length and min(sizes) >= 0, "the sizes of a frame")
        check(first <= start and start + len(sizes) <= told["next"], "the bounds of a frame")
        ends = [4 + described + sum(sizes[: number + 1]) for number in range(len(sizes))]
        entries = [rest[end - size : end].decode("latin-1") for end, size in zip(ends, sizes, strict=True)]
        known = {name: told.get(name, default) for name, default in CALL.items()}
        frames.append({**known, "start": start, "entries": entries})
        offset += 8 + length
    return frames


def read_head(body: bytes) -> dict[str, Any]:
    magic, version, written, noted, crc = struct.unpack_from("<3sBIII", body)
    check(magic == b"SFH" and version == 1, "no head of version 1")
    end = 16 + written + noted
    check(zlib.crc32(body[:12] + body[16:end]) == crc, "a head does not match its checksum")
    header = HEADER | json.loads(body[16 : 16 + written])
    check(end + header["tail"] == len(body), "the size of a head")
    check(zlib.crc32(body[end:]) == header.get("checksum", 0), "a tail does not match its checksum")
    content = {name: header[name] for name in ("name", "life", "commit", "recent", *HEADER)}
    content["operations"] = [dict(zip(OPERATION, one, strict=False)) for one in header["operations"]]
    content["segments"] = [dict(zip(SEGMENT, one, strict=False)) for one in header["segments"]]
    content["stream"], kind = None, "gone"
    if "incarnation" in header:
        stream = {name: header.get(name, default) for name, default in (STREAM | TIMES).items()}
        kind = "living" if stream["expires_at"] is None else "expiring"
        content["stream"] = {"incarnation": header["incarnation"], **stream}
    check(("living", "expiring", "gone", None)[len(body) % 4] == kind, "the size of a head modulo 4")
    path, tail = path_of(header["name"]), read_frames(body[end:])
    entries = sum(one["count"] for one in content["segments"]) + sum(len(one["entries"]) for one in tail)
    check(content["stream"] is None or content["stream"]["length"] == entries, "the length of a stream")
    files = [f"{header['life']:08x}/{one['id']}.sfs" for one in content["segments"]]
    files += [f"b/{blob.partition('-')[0]}.sfb" for one in tail for blob in one["blobs"]]
    keys = [f"h/{path}!.sfh", *(f"d/{path}/{file}" for file in files)]
    return {**content, "kind": kind, "note": body[end - noted : end].decode("latin-1"), "tail": tail, "keys": keys}


def read_segment(body: bytes) -> dict[str, Any]:
    check(body[:4] == b"SFS\x01", "no segment of version 1")
    (length,) = struct.unpack_from("<I", body, len(body) - 4)
    raw = body[len(body) - 4 - length : -4]
    footer, blocks = json.loads(raw), []
    for one in footer["blocks"]:
        block = dict(zip(BLOCK, one, strict=False))
        data = body[block["offset"] : block["offset"] + block["size"]]
        check(zlib.crc32(data) == block["crc"], "a block does not match its checksum")
        frames = read_frames(zlib.decompress(data))
        blocks.append({**block, "frames": frames})
    calls = b64decode(footer.get("calls", ""))
    hashes = [f"{number:016x}" for number in struct.unpack(f"<{len(calls) // 8}Q", calls)]
    links = [dict(zip(LINK, one, strict=False)) for one in footer.get("links", [])]
    ref = {"first": blocks[0]["first"], "next": blocks[-1]["next"], "count": sum(one["count"] for one in blocks)}
    ref |= {"raw": sum(one["raw"] for one in blocks), "size": len(body), "footer": length + 4, "crc": zlib.crc32(raw)}
    ref |= {"calls": len(hashes), "blobs": len(links)}
    whose = {"name": footer["name"], "incarnation": footer["incarnation"]}
    return {**whose, "ref": ref, "calls": hashes, "links": links, "blocks": blocks}


if __name__ == "__main__":
    found = Path(sys.argv[1]).read_bytes()
    print(json.dumps((read_head if found[:3] == b"SFH" else read_segment)(found), indent=1))
