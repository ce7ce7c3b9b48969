"""Conversations as lines of a file: `stowfast import` and `stowfast export`. One line is one conversation.

    {"context_id": "ctx-1", "messages": [{"role": "user", "content": "hi"}], "metadata": {"user": "ann"}}

`metadata` is optional, and every other key of a line counts as metadata.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from stowfast import InMemoryMessageStore
from stowfast.cli.terminal import many
from stowfast.errors import ConflictError, InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from stowfast import Stores

__all__ = [
    "Conversation",
    "Imported",
    "lines_of",
    "parse",
    "put_in_place",
    "read_conversations",
    "reading",
    "store",
    "store_lines",
    "written_whole",
]

_PAGE: Final = 200
_PROBLEMS_LISTED: Final = 1_000


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


@dataclass
class Imported:
    """The result of an import."""

    conversations: int = 0
    messages: int = 0
    already_there: int = 0
    metadata_kept: int = 0
    """Conversations that keep their metadata, which differs from the file's."""
    conflicts: int = 0
    bad_lines: int = 0
    first: str | None = None
    """The id of the first conversation of the file that is stored now."""
    problems: list[dict[str, Any]] = field(default_factory=list)
    """The first thousand conflicts and bad lines. All of them were printed."""

    @property
    def complete(self) -> bool:
        """Whether every line of the file is stored now."""
        return not self.conflicts and not self.bad_lines

    def sentence(self) -> str:
        """Return the result as a sentence."""
        text = f"imported {many(self.conversations, 'conversation')} with {many(self.messages, 'message')}"
        for number, what in (
            (self.already_there, "already there"),
            (self.metadata_kept, "with other metadata, which stays"),
            (self.conflicts, "in conflict"),
            (self.bad_lines, "not understood"),
        ):
            text += f", {number:,} {what}" if number else ""
        return text

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {"complete": self.complete, **asdict(self)}

    def note(self, kind: str, line: int, reason: str) -> None:
        """Keep a problem for the report."""
        if len(self.problems) < _PROBLEMS_LISTED:
            self.problems.append({"line": line, "kind": kind, "reason": reason})


def parse(line: bytes) -> Conversation:
    """Read one line, strictly: an ambiguous line, or one that would not come back the same, is refused.

    Raises:
        InvalidError: it is not UTF-8, not JSON, or not a conversation. The error says what is wrong with it.
    """
    try:
        record = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise InvalidError(f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise InvalidError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise InvalidError("nested too deep") from None
    except ValueError as error:  # what our hooks raise, and Python for a number of over 4,300 digits
        raise InvalidError(str(error)) from None
    return conversation(record)


def conversation(record: Any) -> Conversation:
    """Return the conversation that a JSON object describes."""
    if not isinstance(record, dict):
        raise InvalidError(f"a line is an object with context_id and messages, this one is {_kind(record)}")
    if not isinstance(context_id := record.pop("context_id", None), str):
        raise InvalidError("it has no context_id, or one that is not text")
    messages = record.pop("messages", None)
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise InvalidError("it has no messages, or they are not a list of objects")
    metadata = record.pop("metadata") if isinstance(record.get("metadata"), dict) else {}
    if twice := sorted(metadata.keys() & record.keys()):
        raise InvalidError(f"{twice[0]!r} is in the metadata and beside it")
    if not (messages or metadata or record):
        raise InvalidError("it has neither messages nor metadata: there is nothing to keep")
    return Conversation(context_id, messages, {**metadata, **record})


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to read, or stdin for `-`."""
    if str(path) == "-":
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            yield file


def lines_of(file: IO[bytes], context_id: str) -> Iterable[bytes]:
    """Return the lines of a file; of one that is a single JSON list, one line: the messages of a conversation."""
    begin = b""
    for line in file:  # not by seeking back: it may be a pipe
        begin += line
        if begin.removeprefix(b"\xef\xbb\xbf").strip():
            break
    if not begin.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        return chain(begin.splitlines(keepends=True), file)
    # Put together as text, so that a list is read exactly as strictly as a line.
    messages = (begin + file.read()).removeprefix(b"\xef\xbb\xbf").replace(b"\r", b" ").replace(b"\n", b" ")
    return [b'{"context_id": %b, "messages": %b}' % (json.dumps(context_id).encode(), messages)]


async def store(stores: Stores, one: Conversation, done: Imported) -> None:
    """Write one conversation in one commit, unless it is there already. Safe to repeat at any time, by anyone.

    Raises:
        ConflictError: a conversation of this id holds other messages. It stays as it is.
        InvalidError: it cannot be stored. Nothing of it was.
    """
    if one.metadata:
        # It is written after the messages, so it must be known by then that it will not be refused.
        await InMemoryMessageStore().set_metadata(one.context_id, one.metadata)
    try:
        # No op_id made from the content: a backend remembers it beyond a deletion, so that bringing back a deleted
        # conversation would be answered "stored", and store nothing. `expect` and the comparison below are what
        # keeps a repeat from doubling anything, also after a lost answer.
        await stores.messages.add_messages(one.context_id, one.messages, expect=0)
    except ConflictError:
        found = await stores.messages.get_messages(one.context_id, originals=True)
        # A conversation that went on after it was imported is there too, with more behind it.
        if not _same(found[: len(one.messages)], one.messages):
            raise ConflictError(f"{one.context_id!r} exists with other messages: left as it is") from None
        done.already_there += 1
    else:
        done.conversations += 1
        done.messages += len(one.messages)
    done.first = one.context_id if done.first is None else done.first
    if one.metadata:
        info = await stores.messages.info(one.context_id)
        if info is None or not info.metadata:
            await stores.messages.set_metadata(one.context_id, one.metadata)
        elif not _same(info.metadata, one.metadata):
            done.metadata_kept += 1


async def store_lines(
    stores: Stores, lines: Iterable[bytes], *, complain: Callable[[str], None], advance: Callable[[int], None]
) -> Imported:
    """Write every conversation of a file, line by line. A line that cannot be written does not stop the next."""
    done = Imported()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                await store(stores, parse(line), done)
            except ConflictError as error:
                done.conflicts += 1
                done.note("conflict", number, str(error))
                complain(f"line {number}: conflict: {error}")
            except InvalidError as error:
                done.bad_lines += 1
                done.note("bad line", number, str(error))
                complain(f"line {number}: {error}")
        advance(len(line))
    return done


async def read_conversations(stores: Stores, prefix: str = "") -> AsyncIterator[tuple[Conversation, bool]]:
    """Yield every conversation by id, and whether it has a summary, which a line cannot carry."""
    after = None
    while True:
        page = await stores.messages.contexts(prefix=prefix, order="id", after=after, limit=_PAGE)
        for ref in page:
            info = await stores.messages.info(ref.context_id)
            if info is None:
                continue  # deleted since it was listed
            try:
                messages = [entry.message async for entry in stores.messages.entries(ref.context_id)]
            except ConflictError:
                continue  # deleted while it was read
            yield Conversation(ref.context_id, messages, info.metadata), info.compacted > 0
        if page.next is None:
            return
        after = page.next


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears whole or not at all; an earlier file stays until then."""
    path = Path(os.path.realpath(path))  # a link stays a link, and what it points to is replaced
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open("wb") as pipe:  # a pipe or a device is written to, never replaced
            yield pipe
        return
    if not path.parent.is_dir():
        raise InvalidError(f"{path}: the folder {path.parent} does not exist: create it first")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    put_in_place(aside, path)


def put_in_place(aside: Path, path: Path) -> None:
    """Give a file that is whole its name, for good."""
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power cut may take the new name, and with it the file
    finally:
        os.close(folder)


def _same(left: Any, right: Any) -> bool:
    # As JSON: to Python 1, 1.0 and True are equal. The order of keys carries no meaning.
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidError(
            f"the key {next(name for name in names if names.count(name) > 1)!r} comes twice in an object"
        )
    return record


def _refuse(constant: str) -> Any:
    raise InvalidError(f"{constant} is no JSON")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
