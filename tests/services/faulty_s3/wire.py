"""S3's requests and answers as values, and how they go over a connection."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.services.faulty_s3.faults import Fault

Operation = Literal[
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "LIST",
    "MULTIPART_CREATE",
    "MULTIPART_PART",
    "MULTIPART_COMPLETE",
    "MULTIPART_ABORT",
    "BUCKET",
    "OTHER",
]
"""The purpose of a request. DELETE is of one key or of many, BUCKET is any request about a bucket itself."""

_OBJECT: Mapping[str, Operation] = {"GET": "GET", "HEAD": "HEAD", "PUT": "PUT", "DELETE": "DELETE"}
_UPLOAD: Mapping[str, Operation] = {
    "POST": "MULTIPART_COMPLETE",
    "PUT": "MULTIPART_PART",
    "DELETE": "MULTIPART_ABORT",
}
_LINE = 65536


@dataclass(frozen=True)
class Request:
    """One request. Header names are in lower case; a GET of a bucket has an empty key."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def operation(self) -> Operation:
        if not self.key:
            if self.method == "POST" and "delete" in self.query:
                return "DELETE"
            return "LIST" if self.method == "GET" and "list-type" in self.query else "BUCKET"
        if "uploads" in self.query:
            return "MULTIPART_CREATE" if self.method == "POST" else "OTHER"
        return (_UPLOAD if "uploadId" in self.query else _OBJECT).get(self.method, "OTHER")

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys it is about: several for a bulk delete, the prefix for a listing."""
        if self.operation == "LIST":
            return (self.query.get("prefix", ""),)
        if self.operation == "DELETE" and not self.key:
            return tuple(found_in(self.body, "Object/Key"))
        return (self.key,)

    @cached_property
    def conditions(self) -> dict[str, str]:
        return {name: self.headers[name] for name in ("if-match", "if-none-match") if name in self.headers}


def found_in(body: bytes, path: str) -> list[str]:
    """The texts at a path below the root of an XML body, in any namespace; none if it is no XML."""
    try:
        root = ET.fromstring(body)
    except ET.ParseError:
        return []
    return [found.text or "" for found in root.findall("/".join("{*}" + step for step in path.split("/")))]


@dataclass
class Record:
    """The record of a request. It is complete before the answer is sent."""

    method: str
    operation: Operation
    bucket: str
    keys: tuple[str, ...]
    """Several for a bulk delete; the prefix of a listing."""
    conditions: dict[str, str]
    """`if-match` and `if-none-match`, as they were sent."""
    received: int
    """Bytes of the request's body."""
    headers: Mapping[str, str]
    """All sent headers, their names in lower case."""
    came: float = field(default_factory=time.monotonic)
    """When it was there, whole, in seconds of the monotonic clock."""
    fault: Fault | None = None
    status: int | None = None
    """None where there was no answer."""
    sent: int = 0
    """Bytes of the answer's body."""
    applied: bool = False
    """It has changed the stored data; a late one, after its effect."""

    @classmethod
    def of(cls, request: Request) -> Record:
        about = request.method, request.operation, request.bucket, request.keys, request.conditions
        return cls(*about, received=len(request.body), headers=request.headers)

    @property
    def key(self) -> str:
        return self.keys[0] if self.keys else ""


class Answer(NamedTuple):
    """One answer. `wrote`: the request has changed the stored data."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    wrote: bool = False

    def head(self, length: int) -> bytes:
        """The bytes in front of the body. `length` is promised, and not always kept."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        if self.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            lines.append(f"content-length: {length}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# A control character has no place in XML 1.0 even as a reference, but that is how S3 writes it.
_CONTROLS = {chr(code): f"&#x{code:x};" for code in range(32) if chr(code) not in "\t\n"}


def text(value: str) -> str:
    return escape(value, _CONTROLS)


def xml(root: str, content: str, status: int = 200, *, wrote: bool = False) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{content}</{root}>'
    return Answer(status, body.encode(), {"content-type": "application/xml"}, wrote)


def error(status: int, code: str) -> Answer:
    return xml("Error", f"<Code>{code}</Code><Message>{code}, says the test</Message>", status)


def read_request(stream: BinaryIO, go_on: Callable[[], object]) -> Request | None:
    """The next request of a connection; None where it has ended, be it in the middle of one.

    `go_on` is called if a client asks before it sends its body.
    """
    first = stream.readline(_LINE).decode("latin-1").split()
    if len(first) != 3:
        return None
    method, target, _ = first
    headers: dict[str, str] = {}
    while (line := stream.readline(_LINE)).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        go_on()
    length = int(headers.get("content-length", 0))
    chunked = "chunked" in headers.get("transfer-encoding", "")
    body = _dechunked(stream) if chunked else stream.read(length)
    if body is None or (len(body) < length and not chunked):
        return None
    # The AWS tools stream in chunks of their own, a signature or a checksum beside each.
    if "aws-chunked" in headers.get("content-encoding", "") or "x-amz-decoded-content-length" in headers:
        body = _dechunked(BytesIO(body)) or b""
    if target.startswith("http:"):  # as a proxy is asked
        target = target[target.index("/", len("http://")) :]
    path, _, query = target.partition("?")
    bucket, _, key = path.removeprefix("/").partition("/")
    return Request(method, unquote(bucket), unquote(key), dict(parse_qsl(query, True)), headers, body)


def _dechunked(stream: BinaryIO) -> bytes | None:
    chunks: list[bytes] = []
    while line := stream.readline(_LINE):
        size = int(line.split(b";")[0], 16)
        if size == 0:
            while stream.readline(_LINE).strip():
                pass  # trailers
            return b"".join(chunks)
        chunks.append(stream.read(size))
        stream.readline(_LINE)
    return None
