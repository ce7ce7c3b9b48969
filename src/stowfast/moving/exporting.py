"""Export of selected streams into a folder: JSON lines, contents of artifacts, and a manifest with SHA-256."""

from __future__ import annotations

import hashlib
import json
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from stowfast.abc import Window
from stowfast.errors import InvalidError
from stowfast.moving.blobs import blob_in, pieces_of
from stowfast.moving.copying import Place, opened_place
from stowfast.moving.removal import find
from stowfast.moving.selection import Selection, kind_of
from stowfast.names import path_text
from stowfast.stores import Stores

if TYPE_CHECKING:
    import os

    from stowfast.abc import Backend, Entry

__all__ = ["MANIFEST", "export"]

MANIFEST: Final = "manifest.json"
"""The file with the path, size and SHA-256 of every other one. It is written last."""

_ID_CHARACTERS: Final = 80
_PAGE: Final = 100


async def export(place: Place, folder: str | os.PathLike[str], selection: Selection) -> dict[str, Any]:
    """Write the selected streams into a new folder, with the artifacts and tasks of selected conversations.

    Conversations, tasks and documents are JSON lines, one each; of a task the newest state. A conversation has its
    summary, if it was compacted, and in `entries` the position and time of each message. Each kept version of an
    artifact is a file of its own. Ids in names of files are quoted, so that none leads out of the folder.

    Args:
        place: a URL, or stores.
        folder: it must not exist, or be empty.
        selection: the streams.

    Returns:
        The manifest. A folder without the file `manifest.json` is not whole.

    Raises:
        InvalidError: the folder holds files.
        DamagedError: a stream is damaged.
    """
    written = _Folder(Path(path_text(folder, "folder")))
    async with AsyncExitStack() as stack:
        stores = Stores(await opened_place(place, stack, reading=True))
        for name in await find(stores, selection, related=True):
            kind, id = kind_of(name), name.partition("/")[2]
            if kind == "artifacts":
                await _artifact(stores.backend, name, written)
            elif (record := await _record(_scoped(stores, name), kind, id)) is not None:
                written.add_line(f"{kind}.jsonl", {"stream": name, **record})
        return written.finish()


async def _record(stores: Stores, kind: str, id: str) -> dict[str, Any] | None:
    """Return a conversation, a task or a document as JSON; None: it is gone, or of another kind."""
    if kind == "messages":
        return await _conversation(stores, id)
    if kind == "tasks":
        state = await stores.tasks.load(id)
        return None if state is None else asdict(state)
    if kind == "documents":
        document = await stores.documents.get(id)
        return None if document is None else asdict(document)
    return None


async def _conversation(stores: Stores, id: str) -> dict[str, Any] | None:
    """Return a conversation with its summary, and the messages it stands for as far as they were kept."""
    while True:
        seen = await stores.messages.read(id)
        kept = await stores.messages.read(id, originals=True) if seen.info and seen.info.compacted else seen
        if seen.info is None or kept.info is None:
            return None
        if (seen.info.incarnation, seen.info.compacted) == (kept.info.incarnation, kept.info.compacted):
            break  # else it was compacted meanwhile: the summary is an older one
    return {
        "context_id": id,
        "metadata": kept.info.metadata,
        "summary": seen.summary,
        "messages": [entry.message for entry in kept.entries],
        "entries": [{"position": entry.position, "created_at": entry.created_at} for entry in kept.entries],
    }


async def _artifact(backend: Backend, name: str, written: _Folder) -> None:
    at = 0
    while True:
        entries = (await backend.read(name, Window(start=at, limit=_PAGE, max_bytes=2**24))).entries
        for entry in entries:
            await _version(backend, name, entry, written)
        if not entries:
            return
        at = entries[-1].position + 1


async def _version(backend: Backend, name: str, entry: Entry, written: _Folder) -> None:
    line, _, content = entry.data.partition(b"\n")
    described = {key: value for key, value in json.loads(line).items() if key not in {"blob", "checksums"}}
    told = {"stream": name, "version": entry.position + 1, **described}
    path = (
        f"artifacts/{written.number()}-{quote(name.partition('/')[2], safe='')[:_ID_CHARACTERS]}.v{entry.position + 1}"
    )
    record = blob_in(name, entry.data)
    with written.file(path, told) as out:
        if record is None:
            out.write(content)
            return
        async with aclosing(pieces_of(backend, name, record.blob)) as pieces:
            async for piece in pieces:
                out.write(piece)


def _scoped(stores: Stores, name: str) -> Stores:
    """Return the stores of the scope that a stream lies in."""
    outer = name.partition("/")[0].rpartition(":")[0]
    for scope in outer.split(":") if outer else ():
        stores = stores.within(unquote(scope))
    return stores


class _Folder:
    """The files of an export, with their digests."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise InvalidError(f"{root} is not empty: name a new folder")
        self._root = root
        self._files: list[dict[str, Any]] = []
        self._lines: dict[str, _Digested] = {}

    def number(self) -> int:
        return len(self._files) + 1

    def file(self, path: str, told: dict[str, Any]) -> _Digested:
        """Begin a file. It is in the manifest once it is closed."""
        (self._root / path).parent.mkdir(exist_ok=True)
        return _Digested(self._root / path, {"path": path, **told}, self._files)

    def add_line(self, path: str, record: dict[str, Any]) -> None:
        if path not in self._lines:
            self._lines[path] = self.file(path, {"records": 0})
        lines = self._lines[path]
        lines.told["records"] += 1
        lines.write(json.dumps(record, ensure_ascii=False, default=_moment).encode("utf-8", "surrogatepass") + b"\n")

    def finish(self) -> dict[str, Any]:
        for lines in self._lines.values():
            lines.close()
        manifest = {"format": 1, "files": self._files}
        part = self._root / f"{MANIFEST}.part"
        part.write_text(json.dumps(manifest, indent=2, ensure_ascii=False, default=_moment), encoding="utf-8")
        part.replace(self._root / MANIFEST)
        return manifest


class _Digested:
    """A file that counts its bytes and their SHA-256."""

    def __init__(self, path: Path, told: dict[str, Any], files: list[dict[str, Any]]) -> None:
        self.told = told
        self._out: IO[bytes] = path.open("xb")
        self._digest = hashlib.sha256()
        self._size = 0
        self._files = files

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self._digest.update(data)
        self._size += len(data)

    def close(self) -> None:
        self._out.close()
        self._files.append({**self.told, "size": self._size, "sha256": self._digest.hexdigest()})

    def __enter__(self) -> _Digested:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"an export holds a {type(value).__name__}")
