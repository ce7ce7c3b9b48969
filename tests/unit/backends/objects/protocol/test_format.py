"""The format is that of docs/design/object-format.md and of the golden objects."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stowfast import UnsupportedError
from stowfast.backends.objects.protocol.frames import Operation, _Description, parse_frames
from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.requests import Token
from stowfast.backends.objects.protocol.segment import Block, Footer, Link, parse_segment
from stowfast.backends.objects.protocol.state import SegmentRef, _Header, decode_header, decode_state
from tests.golden import content, reader
from tests.golden.__main__ import HEADS, SEGMENTS
from tests.golden.forged import forged_frame, forged_head, forged_segment

ROOT = Path(__file__).parents[5]
PAGE = (ROOT / "docs" / "design" / "object-format.md").read_text(encoding="utf-8")
TOKEN = Token("e-tag", None)
GOLDEN_HEADS = sorted(content.OBJECTS.glob("head-*.bin"))
GOLDEN_SEGMENTS = sorted(content.OBJECTS.glob("segment-*.bin"))


def expected(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return told


def test_every_golden_object_is_here():
    assert {path.stem for path in GOLDEN_HEADS} == {f"head-{name}" for name in (*HEADS, "segments")}
    assert {path.stem for path in GOLDEN_SEGMENTS} == {f"segment-{name}" for name in SEGMENTS}


@pytest.mark.parametrize("path", GOLDEN_HEADS, ids=lambda path: path.stem)
def test_a_golden_head_is_read_and_written_as_ever(path):
    body, told = path.read_bytes(), expected(path)
    assert content.content_of_head(decode_state(told["name"], body, TOKEN), len(body)) == told
    assert content.write_head(told) == body


@pytest.mark.parametrize("path", GOLDEN_HEADS, ids=lambda path: path.stem)
def test_a_golden_head_is_told_from_its_beginning(path):
    body, told = path.read_bytes(), expected(path)
    whole = decode_state(told["name"], body, TOKEN)
    tail = sum(len(one.raw) for one in whole.tail)
    for length in range(len(body) + 1):
        state = decode_header(None, body[:length], TOKEN, len(body))
        assert state == (whole._replace(tail=()) if length >= len(body) - tail else None)


@pytest.mark.parametrize("path", GOLDEN_SEGMENTS, ids=lambda path: path.stem)
def test_a_golden_segment_is_read_as_ever(path):
    body, told = path.read_bytes(), expected(path)
    ref = SegmentRef(**told["ref"])
    assert content.content_of_segment(ref, parse_segment(told["name"], ref, body), body) == told


@pytest.mark.parametrize("name", SEGMENTS)
def test_a_segment_written_today_holds_what_the_golden_one_does(name):
    # Another zlib may compress better or worse, so it is the content that must be the same, and all that is not zlib's.
    def without_sizes(told: dict[str, Any]) -> dict[str, Any]:
        ref = {key: value for key, value in told["ref"].items() if key not in ("size", "footer", "crc")}
        blocks = [
            {key: block[key] for key in block if key not in ("offset", "size", "crc")} for block in told["blocks"]
        ]
        return {**told, "ref": ref, "blocks": blocks}

    whose, old, frames, block = SEGMENTS[name]
    parsed = []
    for other in old:
        body, told = (
            (content.OBJECTS / f"segment-{other}.bin").read_bytes(),
            expected(content.OBJECTS / f"segment-{other}"),
        )
        parsed.append((parse_segment(told["name"], SegmentRef(**told["ref"]), body), body))
    ref, body = content.write_segment(whose, parsed, frames, block)
    made = content.content_of_segment(ref, parse_segment(whose["name"], ref, body), body)
    assert without_sizes(made) == without_sizes(expected(content.OBJECTS / f"segment-{name}"))


@pytest.mark.parametrize("path", GOLDEN_HEADS + GOLDEN_SEGMENTS, ids=lambda path: path.stem)
def test_who_has_only_the_page_reads_the_same(path):
    told = expected(path)
    if "ref" in told:
        del told["ref"]["id"]  # which is its key, and not in the object
        assert reader.read_segment(path.read_bytes()) == told
    else:
        assert reader.read_head(path.read_bytes()) == told


def test_the_reader_needs_nothing_of_ours():
    done = subprocess.run(
        [sys.executable, "-I", "-S", reader.__file__, GOLDEN_HEADS[0]],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == expected(GOLDEN_HEADS[0])


def test_the_page_shows_the_golden_objects():
    rows = re.findall(r"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} ?){1,16})", PAGE, re.MULTILINE)
    shown = [b"", b""]
    for offset, row in rows:
        which = int(int(offset, 16) < len(shown[0]) or bool(shown[1]))
        assert int(offset, 16) == len(shown[which])
        shown[which] += bytes.fromhex(row)
    for name, body in zip(("head-small", "segment-small"), shown, strict=True):
        assert body == (content.OBJECTS / f"{name}.bin").read_bytes(), f"the page shows another {name} (--force?)"
    (ref,) = re.findall(r'^    (\{"id".*\})$', PAGE, re.MULTILINE)
    assert json.loads(ref) == expected(content.OBJECTS / "segment-small")["ref"]


def test_the_page_names_every_member_and_every_key():
    keys = re.findall(r"^\| `([^`]+)` \| `(h/[^`]+)` \|$", PAGE, re.MULTILINE)
    assert len(keys) > 4
    for name, key in keys:
        assert keys_of(name).head == key == f"h/{reader.path_of(name)}!.sfh"
    members = {*_Header.__struct_fields__, *_Description.__struct_fields__, *Footer.__struct_fields__}
    assert members <= set(re.findall(r"`(\w+)`", PAGE))
    for record in (Operation, Block, Link, SegmentRef):
        assert f"`[{', '.join(record.__struct_fields__)}]`" in PAGE


def test_what_is_not_known_is_left_aside():
    later = {"of a later one": [{"x": [1]}]}
    framed = {"first": 0, "next": 1, "at": 5, "sizes": [1], **later}
    (frame,) = parse_frames(forged_frame(framed, b"x"), "here")
    assert [entry.data for entry in frame.entries()] == [b"x"]
    header = {"name": "a", "life": 1, "commit": 1, "recent": [], "tail": 0, **later}
    operation = ["op", "life", 0, 1, 5, 1]
    state = decode_state("a", forged_head({**header, "operations": [[*operation, "later"]]}, kind=2), TOKEN)
    assert state.operations == (Operation(*operation),)  # type: ignore[arg-type]
    footer = {"name": "a", "incarnation": "life", "blocks": [[4, 1, 0, 0, 1, 1, 1, "later"]], **later}
    ref, body = forged_segment(footer, b"?")
    assert parse_segment("a", ref, body).blocks == [Block(4, 1, 0, 0, 1, 1, 1)]


def test_a_newer_version_is_refused_by_name():
    for version in (0, 2, 255):
        head, segment = (bytearray(paths[0].read_bytes()) for paths in (GOLDEN_HEADS, GOLDEN_SEGMENTS))
        head[3] = segment[3] = version
        ref = SegmentRef(**expected(GOLDEN_SEGMENTS[0])["ref"])
        with pytest.raises(UnsupportedError, match=f"version {version}"):
            decode_state("a", bytes(head), TOKEN)
        with pytest.raises(UnsupportedError, match=f"version {version}"):
            parse_segment("a", ref, bytes(segment))


def test_what_is_there_is_not_written_over():
    before = {path: path.read_bytes() for path in content.OBJECTS.iterdir()}
    command = [sys.executable, "-m", "tests.golden"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "written once" in done.stderr
    assert {path: path.read_bytes() for path in content.OBJECTS.iterdir()} == before
