"""The content of an artifact, to a file and from one: `stowfast get` and `stowfast put`."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from stowfast.cli.terminal import complain
from stowfast.cli.transfer import put_in_place
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stowfast import ArtifactInfo, Stores

__all__ = ["alone", "load", "save", "target"]

_PIECE: Final = 2**20


def target(artifact_id: str, file: Path | None) -> Path:
    """Return the file for an artifact: the one given, or a new file with the name of the artifact.

    Raises:
        InvalidError: there is no such folder, or none was named and the artifact's own would replace a file.
    """
    if file is None:
        file = Path(Path(artifact_id).name)
        if file.name in {"", ".."} or not file.name.isprintable():
            raise InvalidError(f"{artifact_id!r} is no name for a file: give FILE")
        if file.exists():
            raise InvalidError(f"{file} is there already: give FILE, which is replaced")
    file = Path(os.path.realpath(file))  # a link stays a link, and what it points to is replaced
    if not file.parent.is_dir():
        raise InvalidError(f"{file}: the folder {file.parent} does not exist: create it first")
    if file.is_dir():
        raise InvalidError(f"{file} is a folder: name a file in it")
    return file


async def save(reader: Any, file: Path | None, advance: Callable[[int], None]) -> int:
    """Write a version into a file, which appears whole, its SHA-256 checked; without a file, to stdout.

    Received bytes are kept beside it as `FILE.part`; the next call goes on from there.

    Returns:
        How many bytes an earlier call had left.

    Raises:
        DamagedError: the content does not match its SHA-256.
    """
    pipe = _pipe(file)
    if file is None or pipe is not None:
        with pipe or nullcontext(sys.stdout.buffer) as out:
            await _copy(reader, 0, out, sha256(), advance)
        return 0
    info: ArtifactInfo = reader.info
    part = file.with_name(f"{file.name}.part")
    with alone(part) as out:
        digest = sha256()
        begun = _resume(out, digest, info.size)
        advance(begun)
        await _copy(reader, begun, out, digest, advance)
        if begun and digest.hexdigest() != info.sha256:
            complain(f"{part} was of something else: it is read anew")
            advance(-info.size)
            out.truncate(0)
            begun = 0
            await _copy(reader, 0, out, sha256(), advance)
        os.fsync(out.fileno())
        put_in_place(part, file)
    return begun


@contextmanager
def alone(part: Path) -> Iterator[IO[bytes]]:
    """Open the partial file, locked against other writers. The lock ends with the process.

    Raises:
        InvalidError: somebody is writing it.
    """
    while True:
        with part.open("a+b") as out:
            try:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InvalidError(f"{part} is being written by somebody else: wait, or name another file") from None
            # If its owner has finished since it was opened, it is the whole file now, and no part.
            if _is(part, out):
                yield out
                return


def _is(path: Path, opened: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(opened.fileno()))
    except FileNotFoundError:
        return False


def _pipe(file: Path | None) -> IO[bytes] | None:
    """Open a target that is written to and never replaced: a pipe, a device."""
    return file.open("wb") if file is not None and file.exists() and not file.is_file() else None


def _resume(out: IO[bytes], digest: Any, size: int) -> int:
    begun = out.seek(0, os.SEEK_END)
    if begun > size:
        out.truncate(0)
        return 0
    out.seek(0)
    while piece := out.read(_PIECE):
        digest.update(piece)
    return begun


async def _copy(reader: Any, start: int, out: IO[bytes], digest: Any, advance: Callable[[int], None]) -> None:
    reader.seek(start)
    async for piece in reader:  # from the start it holds all of it against the SHA-256 itself
        out.write(piece)
        out.flush()  # so that a kill takes nothing that came
        digest.update(piece)
        advance(len(piece))


async def load(
    stores: Stores, artifact_id: str, file: IO[bytes], described: dict[str, Any], advance: Callable[[int], None]
) -> ArtifactInfo:
    """Store the content of a file as the next version of an artifact."""
    async with stores.artifacts.open_writer(artifact_id, **described) as writer:
        while piece := file.read(_PIECE):
            await writer.write(piece)
            advance(len(piece))
    assert writer.info is not None
    return writer.info
