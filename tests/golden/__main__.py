"""Writes the golden objects: `python -m tests.golden`. Existing ones stay, unless `--force` is given.

They were written once, and every later Stowfast reads them. Writing them anew is giving up that promise, so it is done
only together with a new version of the format, or before there is a first one.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from stowfast.backends.objects.protocol.requests import Token
from stowfast.backends.objects.protocol.segment import Footer, parse_segment
from stowfast.backends.objects.protocol.state import EXPIRING, GONE, LIVING, SegmentRef, decode_state
from tests.golden.content import (
    KINDS,
    OBJECTS,
    Content,
    content_of_head,
    content_of_segment,
    write_head,
    write_segment,
)

NOON: Final = 1_700_000_000_000_000
LIFE: Final = "0123456789abcdef0123456789abcdef"
BLOB: Final = "b10b0000000000000000000000000001-5000000"
OTHER_BLOB: Final = "b10b0000000000000000000000000002-0"
NAME: Final = "messages/Ärger & 🦊"


def call(first: int, entries: list[str], **more: Any) -> Content:
    """The entries of each call, a second after the one before."""
    made = {
        "start": first,
        "by": "c0ffee0000000001",
        "op_id": None,
        "commit": 0,
        "blobs": [],
        "next": more.get("start", first) + len(entries),
    }
    return {**made, "first": first, "at": NOON + first * 1_000_000, "entries": entries, **more}


def stream(next: int, length: int, **more: Any) -> Content:
    """The fields of a head, absent in a stream without an incarnation."""
    made = {"incarnation": LIFE, "first": 0, "next": next, "length": length, "base": 0, "revision": 0, "labels": {}}
    return {**made, "created_at": NOON, "updated_at": NOON + next * 1_000_000, "expires_at": None, **more}


def head(kind: int, name: str, of: Content | None, tail: list[Content], **more: Any) -> Content:
    """A head with little in it."""
    made = {"life": 1, "commit": 1, "recent": ["c0ffee0000000001"], "operations": []}
    made |= {"origin": "c0ffee0000000001", "dropped": 0, "condemned": [], "grave": []}
    return {"kind": KINDS[kind], "name": name, **made, "segments": [], "stream": of, "note": "", "tail": tail, **more}


FORGOTTEN: Final = [
    {"op_id": "undone", "incarnation": LIFE, "first": 2, "next": 3, "at": NOON + 2_000_000, "commit": 3},
    {"op_id": 'la"bels\\\n\u2028\x00é🦊', "incarnation": LIFE, "first": 6, "next": 6, "at": NOON, "commit": 7},
]
GRAVE: Final = ["00000001/5e60000000000000.sfs", "b/b10b0000000000000000000000000009.sfb"]
RECENT: Final = [f"c0ffee{number:010x}" if number % 16 != 5 else "" for number in range(64)]

HEADS: Final = {
    "small": head(LIVING, "notes/a", stream(1, 1), [call(0, ["hello"])]),
    "living": head(
        LIVING, NAME,
        stream(9, 5, first=2, base=4, revision=3, labels={"context": "é\u0301 ", "agent": "", "": "x"}),
        [
            call(1, ["", "\x00\xff\r\n"], start=2, next=4, op_id="a call, whose first entry is gone", commit=4),
            call(5, ['{"role":"user"}'], by="", blobs=[BLOB, OTHER_BLOB]),
            call(7, ["x" * 300, "y"], op_id="é🦊", commit=6),
        ],
        note='{"summary":"so far"}\xfe', life=3, commit=70, recent=RECENT, dropped=2, condemned=GRAVE[1:], grave=GRAVE,
        operations=FORGOTTEN,
    ),
    "expiring": head(
        EXPIRING, "task", stream(0, 0, labels={"status": "working"}, expires_at=NOON + 86_400_000_000), [], note=" "
    ),
    "gone": head(
        GONE, "x" * 300, None, [], life=2, commit=8, recent=RECENT[:8], operations=FORGOTTEN, condemned=GRAVE,
        grave=GRAVE[:1],
    ),
}  # fmt: skip

SEGMENTS: Final = {
    "small": ({"name": "notes/a", "incarnation": LIFE, "id": "5e60000000000001"}, (), [call(0, ["hello"])], 1_000),
    "blocks": (
        {"name": NAME, "incarnation": LIFE, "id": "5e60000000000002"}, (),
        [
            call(0, ["a", "b", "c"], start=1, next=4, op_id="first", commit=1, blobs=[BLOB]),
            call(4, ["z" * 2_000]),
            call(5, ["", ""], op_id="second", commit=3, blobs=[OTHER_BLOB, BLOB]),
            call(9, ["after a gap"]),
        ],
        300,
    ),
    "merged": (
        {"name": NAME, "incarnation": LIFE, "id": "5e60000000000003"}, ("blocks",),
        [call(10, ["d", "e"], op_id="third", commit=9, blobs=[OTHER_BLOB])],
        1_000,
    ),
}  # fmt: skip


def write(name: str, body: bytes, content: Content, *, force: bool) -> None:
    """Write an object, and its content as JSON beside it."""
    for path, data in (
        (OBJECTS / f"{name}.bin", body),
        (OBJECTS / f"{name}.json", (json.dumps(content, indent=1) + "\n").encode()),
    ):
        if path.exists() and not force:
            sys.exit(f"{path} is there: a golden file is written once (--force, if you mean it)")
        path.write_bytes(data)


def main() -> None:
    """Write all of them."""
    force = "--force" in sys.argv[1:]
    OBJECTS.mkdir(exist_ok=True)
    made: dict[str, tuple[SegmentRef, Footer, bytes]] = {}
    for name, (whose, old, frames, block) in SEGMENTS.items():
        ref, body = write_segment(whose, [made[one][1:] for one in old], frames, block)
        footer = parse_segment(whose["name"], ref, body)
        made[name] = (ref, footer, body)
        found = content_of_segment(ref, footer, body)
        assert [one for block in found["blocks"] for one in block["frames"]][-len(frames) :] == frames
        write(f"segment-{name}", body, found, force=force)
    ref = content_of_segment(*made["merged"])["ref"]
    sealed = head(LIVING, NAME, stream(13, ref["count"] + 1), [call(12, ["the newest"])], segments=[ref])
    for name, content in {**HEADS, "segments": sealed}.items():
        body = write_head(content)
        found = content_of_head(decode_state(content["name"], body, Token(None, None)), len(body))
        assert found == {**content, "keys": found["keys"]}
        write(f"head-{name}", body, found, force=force)


if __name__ == "__main__":
    main()
