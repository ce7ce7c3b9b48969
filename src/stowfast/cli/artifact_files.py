"""The content of an artifact, to a file and from one: `stowfast get` and `stowfast put`."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from stowfast.cli import files
from stowfast.cli.terminal import complain, raw_stdout
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast import ArtifactInfo, Stores

__all__ = ["load", "save", "target"]

_PIECE: Final = 2**20


def target(artifact_id: str, file: Path | None, url: str) -> Path:
    """Return the file for an artifact: the one given, or a new file with the name of the artifact.

    Raises:
        InvalidError: as `files.target` does. Or no file was given, and the artifact's own name hides, begins with a
            dash, or is the name of a file already.
    """
    if file is None:
        file = Path(Path(artifact_id).name)
        if not file.name.isprintable() or file.name in {"", ".", ".."}:
            raise InvalidError(f"{artifact_id!r} is no name for a file: give FILE")
        if file.name.startswith((".", "-")):
            raise InvalidError(f"{file} hides, or begins with a dash: give FILE, as in ./{file}")
        if os.path.lexists(file):  # a link that leads nowhere is there, too
            raise InvalidError(f"{file} is there already: give FILE, which is replaced")
    return files.target(file, url)


async def save(reader: Any, file: Path | None, url: str, advance: Callable[[int], None]) -> int:
    """Write a version into a file; it appears whole, its SHA-256 checked. Without a file, to stdout.

    Received bytes are kept beside it in a file with a name ending in `.part`. The next call goes on from there.

    Returns:
        How many bytes an earlier call had left.

    Raises:
        DamagedError: the content does not match its SHA-256.
        InvalidError: another process writes the same content to the same file.
    """
    if file is None:
        await _copy(reader, 0, raw_stdout(), sha256(), advance)
        return 0
    if files.is_device(file):
        with file.open("wb") as pipe:
            await _copy(reader, 0, pipe, sha256(), advance)
        return 0
    info: ArtifactInfo = reader.info
    with files.partial(file, info.sha256 or "") as (part, out):
        digest = sha256()
        begun = _resume(out, digest, info.size)
        advance(begun)
        await _copy(reader, begun, out, digest, advance)
        if begun and digest.hexdigest() != info.sha256:
            complain(f"{part} was of something else: it is read anew")
            advance(-info.size)
            out.seek(0)
            out.truncate()
            begun = 0
            await _copy(reader, 0, out, sha256(), advance)
        files.put_in_place(out, part, file, url)
    return begun


def _resume(out: IO[bytes], digest: Any, size: int) -> int:
    begun = out.seek(0, os.SEEK_END)
    out.seek(0)
    if begun > size:
        out.truncate()
        return 0
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
