"""Conversations as lines of a file. One line is one conversation.

    {"context_id": "ctx-1", "messages": [{"role": "user", "content": "hi"}], "metadata": {"user": "ann"}}

`metadata` is optional, and every other key of a line counts as metadata. A file may also be one JSON list, of messages
or of such conversations, and it may be compressed with gzip.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import select
import stat
import zlib
from collections import Counter
from contextlib import suppress
from io import BufferedReader, BytesIO
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, cast

from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MAX_LINE_MIB", "Conversation", "Line", "LineSource", "parse"]

_OF_AN_EXPORT: Final = frozenset({"stream", "summary", "entries"})
"""Keys of a line of `moving.export` that an import leaves out."""
MAX_LINE_MIB: Final = 64
"""The greatest length of a line without `--max-line`. Reading a line takes about four times its length in memory; up to
ten times where it mixes ASCII with characters beyond U+FFFF."""

_PIECE_BYTES: Final = 2**18
_KEY_SHOWN: Final = 60
_MARK: Final = b"\xef\xbb\xbf"
"""The mark of UTF-8, written by some editors at the beginning of a file."""


class Conversation(NamedTuple):
    """One line of a file."""

    context_id: str
    messages: list[dict[str, Any]]
    metadata: dict[str, Any]

    def line(self) -> str:
        """Return the conversation as one line, as `parse` reads it."""
        record: dict[str, Any] = {"context_id": self.context_id, "messages": self.messages}
        if self.metadata:
            record["metadata"] = self.metadata
        return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


class Line(NamedTuple):
    """A line with text: a conversation, or the problem with it."""

    number: int
    size: int
    """Bytes of the line and of the blank ones before it."""
    conversation: Conversation | None
    problem: str = ""


class LineSource:
    """Reads the lines of a file, one at a time. Time grows with its length, memory with its longest line.

    Args:
        name: an id for conversations without one: `name-3` for line 3, `name` for a list of messages.
        stem: the id of a list of messages where there is no `name`.
        most: the greatest length of a line, or of a list, in bytes.
    """

    def __init__(self, file: IO[bytes], *, name: str | None, stem: str | None, most: int) -> None:
        buffered = file if hasattr(file, "peek") else BufferedReader(cast("Any", file))
        self.zipped: bool = cast("Any", buffered).peek(2)[:2] == b"\x1f\x8b"
        self._file: Any = gzip.GzipFile(fileobj=buffered) if self.zipped else buffered
        self._name = name
        self._stem = stem
        self._most = most
        self._read = 0
        self._pipe: int | None = None
        self._poll = select.poll()
        with suppress(OSError):  # a stream without a descriptor never waits
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                self._pipe = file.fileno()
                self._poll.register(self._pipe, select.POLLIN)

    def __iter__(self) -> Iterator[Line | None]:
        """Yield each line with text. None comes before a read would wait: then await `ready`."""
        number, first = 0, True
        lines = self._split()
        try:
            for found in lines:
                if found is None:
                    yield None
                    continue
                number, data = found
                if first and isinstance(data, bytes) and data.lstrip().startswith(b"["):
                    yield from self._list(data, lines)
                    return
                first = False
                yield self._line(number, self._parsed, data, number)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self._file = BytesIO()
            yield Line(number + 1, self._took(), None, f"the gzip file is damaged behind this line: {error}")

    async def ready(self) -> None:
        """Wait until a read returns at once. Unlike a read it can be cancelled."""
        if self._pipe is not None and not self._poll.poll(0):
            loop, readable = asyncio.get_running_loop(), asyncio.Event()
            with suppress(PermissionError):  # a device that never waits
                loop.add_reader(self._pipe, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self._pipe)

    def _split(self) -> Iterator[tuple[int, bytes | int] | None]:
        """Yield the number of each line with text, and its bytes, or its length if it is too long."""
        number, length = 1, 0
        held: list[bytes] = []
        while True:
            if self._pipe is not None and not self._poll.poll(0):
                yield None
            data = self._file.read1(_PIECE_BYTES)
            self._read += len(data)
            *whole, rest = (data or b"\n").split(b"\n")
            for part in whole:
                length += len(part)
                if length > self._most:
                    yield number, length
                elif length:
                    line = b"".join([*held, part]).removeprefix(_MARK if number == 1 else b"")
                    if line.strip():
                        yield number, line
                number, held, length = number + 1, [], 0
            if not data:
                return
            length += len(rest)
            if length > self._most:
                held.clear()
            else:
                held.append(rest)

    def _list(self, data: bytes, lines: Iterator[tuple[int, bytes | int] | None]) -> Iterator[Line | None]:
        """Yield the conversations of a file that is one JSON list; of a list of messages, one conversation."""
        parts, length = [data], len(data)
        for found in lines:
            if found is None:
                yield None
            else:
                length += found[1] if isinstance(found[1], int) else len(found[1])
                if length > self._most:
                    parts.clear()
                else:
                    parts.append(cast("bytes", found[1]))
        try:
            records = _loads(b"\n".join(parts)) if parts else self._parsed(length, 1)
        except InvalidError as error:
            yield Line(1, self._took(), None, str(error))
            return
        if any(isinstance(record, dict) and "messages" in record for record in records):
            for number, record in enumerate(records, 1):
                yield self._line(number, conversation, record, self._called(number))
        else:
            yield self._line(1, conversation, {"messages": records}, self._name or self._stem)

    def _line(self, number: int, make: Callable[..., Conversation], *given: Any) -> Line:
        took = self._took()
        try:
            return Line(number, took, make(*given))
        except InvalidError as error:
            return Line(number, took, None, str(error))

    def _parsed(self, data: bytes | int, number: int) -> Conversation:
        if isinstance(data, int):
            more = -(-data // 2**20)
            raise InvalidError(f"longer than {self._most >> 20:,} MiB: give --max-line {more}")
        return parse(data, self._called(number))

    def _called(self, number: int) -> str | None:
        return self._name and f"{self._name}-{number}"

    def _took(self) -> int:
        took, self._read = self._read, 0
        return took


def parse(line: bytes, name: str | None = None) -> Conversation:
    """Read one line, strictly: a line is refused if it is ambiguous or would not come back the same.

    Raises:
        InvalidError: it is not UTF-8, not JSON, or not a conversation. The error says the reason.
    """
    return conversation(_loads(line), name)


def conversation(record: Any, name: str | None = None) -> Conversation:
    """Return the conversation of a JSON object. One without an id gets this name."""
    if not isinstance(record, dict):
        raise InvalidError(f"a line is an object with context_id and messages, this one is {_kind(record)}")
    if not isinstance(context_id := record.pop("context_id", name), str):
        raise InvalidError("it has no context_id, or one that is not text: --name gives an id to those without")
    messages = record.pop("messages", None)
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise InvalidError("it has no messages, or they are not a list of objects")
    metadata = record.pop("metadata") if isinstance(record.get("metadata"), dict) else {}
    if record.keys() >= _OF_AN_EXPORT:
        record = {key: value for key, value in record.items() if key not in _OF_AN_EXPORT}
    if twice := sorted(metadata.keys() & record.keys()):
        raise InvalidError(f"{_key(twice[0])} is in the metadata and beside it")
    if not (messages or metadata or record):
        raise InvalidError("it has neither messages nor metadata: there is nothing to keep")
    return Conversation(context_id, messages, {**metadata, **record})


def _loads(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise InvalidError(f"not UTF-8: byte 0x{data[error.start]:02x} at column {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise InvalidError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise InvalidError("nested too deep") from None
    except ValueError as error:  # what our hooks raise, and Python for a number of over 4,300 digits
        raise InvalidError(str(error)) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InvalidError(f"the key {_key(twice)} comes twice in an object")
    return record


def _key(key: str) -> str:
    return repr(key if len(key) <= _KEY_SHOWN else f"{key[:_KEY_SHOWN]}…")


def _refuse(constant: str) -> Any:
    raise InvalidError(f"{constant} is no JSON")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
