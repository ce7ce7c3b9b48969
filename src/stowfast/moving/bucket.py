"""Generations in a bucket: the SQLite file of each as one object, and a manifest that makes it one.

    generations/20261129T140000.000000Z-0123456789abcdef.db
    generations/20261129T140000.000000Z-0123456789abcdef.json

The content is written first and read back, the manifest last. A generation without either of them is none. A removal
takes the manifest first. So a kill at any moment leaves a whole generation, or content that the next calls remove.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.probe import self_test
from stowfast.backends.objects.driver.transfers import Upload, download
from stowfast.backends.objects.protocol.marker import read_marker
from stowfast.backends.objects.protocol.requests import ABSENT, Delete, Get, List, Pause, Put
from stowfast.errors import DamagedError, InvalidError, NotFoundError, UnavailableError, UnsupportedError
from stowfast.moving.archive import REST_SECONDS, SUFFIX, Generation, parsed, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from typing import IO, Any

    from stowfast.backends.objects.driver.store import BucketClient
    from stowfast.backends.objects.protocol.requests import Item

__all__ = ["BucketArchive", "open_bucket_archive"]

_FOLDER: Final = "generations/"
_MANIFEST: Final = ".json"
_KEY: Final = re.compile(rf"{_FOLDER}(\d{{8}}T\d{{6}}\.\d{{6}}Z)-[0-9a-f]{{16}}(\.db|\.json)")
_FORMAT: Final = 1
_TRIES: Final = 5
_PAUSE: Final = 0.2
_PIECE: Final = 2**20
_LONGEST_UPLOAD: Final = 86_400.0
"""Seconds from the begin of an upload to its manifest. A later one is not written: see the next line."""
_REST_MICROSECONDS: Final = 7 * 86_400 * 1_000_000
"""Age of content without a manifest to remove, by the store's clock. A store may date an upload by its begin."""
_ROOM: Final = "stowfast-generation-"


class _Manifest(msgspec.Struct):
    format: int
    size: int
    sha256: str


class BucketArchive:
    """The generations below a prefix of a bucket. Objects of other programs are neither read nor removed."""

    def __init__(self, store: BucketClient) -> None:
        self._store = store

    def known(self) -> list[Generation]:
        """Return the generations, the newest first."""
        items = {one.key: one for one in self._items()}
        found = []
        for key, one in items.items():
            if key.endswith(SUFFIX) and _manifest_of(key) in items:
                told = _KEY.fullmatch(key)
                assert told is not None
                found.append(Generation(parsed(told[1]), key.removeprefix(_FOLDER), one.size))
        return sorted(found, reverse=True)

    @contextmanager
    def part(self) -> Iterator[Path]:
        """Lend a path in a folder for temporary files, as `tempfile` chooses it."""
        with _room() as room:
            yield room / "part"

    def write(self, part: Path, moment: datetime) -> Generation:
        """Upload a file, read it back, and write its manifest."""
        self_test(self._store)
        began, digest, size = time.monotonic(), hashlib.sha256(), 0
        key = f"{_FOLDER}{stamp(moment)}-{secrets.token_hex(8)}{SUFFIX}"
        with part.open("rb") as file, Upload(self._store, key) as upload:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                upload.write(piece)
        manifest = _Manifest(_FORMAT, size, digest.hexdigest())
        try:
            self._download(key, manifest, None)
        except DamagedError:
            raise UnavailableError(f"{self._store.place}: {key} came back different: nothing was added") from None
        if time.monotonic() - began > _LONGEST_UPLOAD:
            raise UnavailableError(f"{self._store.place}: the upload took longer than a day: nothing was added")
        self._publish(_manifest_of(key), msgspec.json.encode(manifest))
        return Generation(moment, key.removeprefix(_FOLDER), size)

    @contextmanager
    def read(self, one: Generation) -> Iterator[Path]:
        """Download a generation into a temporary file, and compare its SHA-256."""
        key = f"{_FOLDER}{one.name}"
        manifest = self._manifest(key)
        with _room() as room:
            path = room / "generation"
            with path.open("xb") as file:
                self._download(key, manifest, file)
            yield path

    def delete(self, old: Sequence[Generation]) -> None:
        """Remove generations, and content of killed calls a week later."""
        keys = [f"{_FOLDER}{one.name}" for one in old]
        items = self._items()
        there = {one.key for one in items}
        newest = max((one.modified for one in items), default=0)
        rests = [
            one.key
            for one in items
            if one.key.endswith(SUFFIX)
            and _manifest_of(one.key) not in there
            and newest - one.modified > _REST_MICROSECONDS
        ]
        if keys:
            self._store.perform(Delete(tuple(map(_manifest_of, keys))))
        if keys or rests:
            self._store.perform(Delete((*keys, *rests)))

    def close(self) -> None:
        """End the connection, and an upload under way."""
        self._store.close()

    def _items(self) -> list[Item]:
        found = []
        for one in self._store.perform(List(_FOLDER)).items:
            told = _KEY.fullmatch(one.key)
            with suppress(ValueError):
                if told is not None:
                    parsed(told[1])
                    found.append(one)
        return found

    def _publish(self, key: str, body: bytes) -> None:
        for _ in range(_TRIES):
            if self._store.perform(Put(key, body, ABSENT)) is not None:
                return
            # The answer was lost: the key is of this call alone.
            found = self._store.perform(Get(key))
            if found is not None and found.body == body:
                return
            self._store.perform(Pause(_PAUSE))
        raise UnavailableError(f"{self._store.place}: no answer to the manifest: the generation may have been added")

    def _manifest(self, key: str) -> _Manifest:
        found = self._store.perform(Get(_manifest_of(key)))
        if found is None:
            raise NotFoundError(f"the generation {key} was removed")
        try:
            manifest = msgspec.json.decode(found.body, type=_Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise DamagedError(f"the manifest of the generation {key} is damaged: take another one") from None
        if manifest.format != _FORMAT:
            raise UnsupportedError(f"the generation {key} has format {manifest.format}: install a newer Stowfast")
        return manifest

    def _download(self, key: str, manifest: _Manifest, file: IO[bytes] | None) -> None:
        """Read the content of a generation, and compare it with its manifest."""
        pieces = download(self._store, key)
        if pieces is None:
            raise DamagedError(f"the generation {key} has no content: take another one")
        digest, size = hashlib.sha256(), 0
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            if file is not None:
                file.write(piece)
        if (size, digest.hexdigest()) != (manifest.size, manifest.sha256):
            raise DamagedError(f"the generation {key} has another SHA-256 than its manifest: take another one")


def open_bucket_archive(address: str, options: dict[str, Any]) -> BucketArchive:
    """Open the archive of a URL such as `s3://bucket/backups/`, and its options.

    Raises:
        InvalidError: an option is wrong, or there is a store at this prefix.
    """
    store = open_store(address, **options)
    try:
        if store.run(read_marker()):
            raise InvalidError(
                f"{store.place} holds a backend, and no generations: give generations a prefix of their own. For a "
                "backup that is a backend itself leave out the slash at its end"
            )
    except BaseException:
        store.close()
        raise
    return BucketArchive(store)


def _manifest_of(key: str) -> str:
    return f"{key.removesuffix(SUFFIX)}{_MANIFEST}"


@contextmanager
def _room() -> Iterator[Path]:
    """Lend a temporary folder for this user alone. Those that killed calls left are removed a day later."""
    for path in Path(tempfile.gettempdir()).glob(f"{_ROOM}*"):
        with suppress(OSError):
            told = path.lstat()
            newest = max([told.st_mtime, *(one.stat().st_mtime for one in path.iterdir())])
            ours = told.st_uid == getattr(os, "getuid", lambda: 0)()  # Windows tells 0 of every file
            if ours and time.time() - newest > REST_SECONDS:
                shutil.rmtree(path)
    with tempfile.TemporaryDirectory(prefix=_ROOM) as room:
        yield Path(room)
