"""Clauses of blobs: visible once a commit links them, gone with their last entry."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from stowfast.abc import Change, Query, Slice
from stowfast.errors import ConflictError, InvalidError, NotFoundError, StowfastError, UnsupportedError
from stowfast.testing.artifacts.bodies import fetch
from stowfast.testing.clause import append, clauses, either, holds, raises, same, stored, told, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from stowfast.abc import Backend
    from stowfast.testing.clause import Make

LONG_AGO: Final = 1
MEGABYTE: Final = 2**20


async def a_blob_comes_back_as_written(make: Make[Backend]) -> None:
    """A blob is the bytes of its chunks, of any number and size: none, empty, single bytes, megabytes."""
    all_bytes = bytes(range(256))
    bodies: list[list[bytes]] = [
        [],
        [b""],
        [b"x"],
        [bytes([byte]) for byte in range(256)],
        [b"", all_bytes, b"", b"end", b""],
        [all_bytes * 1024],  # 256 KiB, and one byte to each side of it
        [(all_bytes * 1024)[:-1]],
        [all_bytes * 1024, b"x"],
        [b"x" * 100_001] * 7,
        [all_bytes * 4096, b"\0" * MEGABYTE, all_bytes * 4096 + b"odd"],
    ]
    streams = [unique("blob") for _ in bodies]
    blobs = []
    async with make() as backend:
        for stream, chunks in zip(streams, bodies, strict=True):
            blobs.append(await backend.write_blob(stream, _each(chunks)))
            await backend.commit(stream, Change([b"x"], blobs=(blobs[-1],)))
    async with make() as backend:
        for stream, blob, chunks in zip(streams, blobs, bodies, strict=True):
            same(await _body(backend, stream, blob), b"".join(chunks), f"a blob of {len(chunks)} chunks")


async def a_blob_is_read_by_range(make: Make[Backend]) -> None:
    """A read of a blob returns the bytes at `start <= offset < stop`; beyond the end there are none."""
    async with make() as backend:
        body = bytes(range(256)) * 4096 + b"the end"
        stream, blob = await _linked(backend, body)
        size = len(body)
        edges = (0, 1, 255, 2**18 - 1, 2**18, 2**18 + 1, 700_000, size - 1, size, size + 1, 2 * size)
        for start in edges:
            for stop in (None, *edges):
                same(await _body(backend, stream, blob, start, stop), body[start:stop], f"bytes from {start} to {stop}")


async def a_blob_is_invisible_until_it_is_linked(make: Make[Backend]) -> None:
    """A blob that no commit has linked cannot be read, and does not begin its stream."""
    async with make() as backend:
        stream = unique("blob")
        blob = await backend.write_blob(stream, _each([b"body"]))
        same(await backend.read(stream), Slice(None, []), "a stream that has only a blob")
        same((await backend.streams(Query(stream))).streams, [], "the listing of a stream that has only a blob")
        await raises(NotFoundError, _body(backend, stream, blob), "a blob of a stream that is not begun")
        await append(backend, stream, b"0")
        await raises(NotFoundError, _body(backend, stream, blob), "a blob that no entry refers to")
        await backend.commit(stream, Change([b"1"], blobs=(blob,)))
        same(await _body(backend, stream, blob), b"body", "a linked blob")
        for start, stop in ((0, None), (0, 0), (3, 2)):
            await raises(NotFoundError, _body(backend, stream, "f" * 32, start, stop), "a blob that never was")


async def one_change_links_many_blobs(make: Make[Backend]) -> None:
    """A change links all its blobs, and each blob keeps its own bytes."""
    async with make() as backend:
        stream = unique("blob")
        bodies = [b"%d" % number for number in range(5)]
        blobs = await asyncio.gather(*(backend.write_blob(stream, _each([body])) for body in bodies))
        same(len(set(blobs)), 5, "ids of five blobs")
        await backend.commit(stream, Change([b"x", b"y"], blobs=blobs))
        same([await _body(backend, stream, blob) for blob in blobs], bodies, "bodies")


async def an_unknown_blob_is_a_conflict(make: Make[Backend]) -> None:
    """A commit that names an unknown blob is a ConflictError; nothing of it is stored."""
    async with make() as backend:
        stream = unique("blob")
        blob = await backend.write_blob(stream, _each([b"body"]))
        change = Change([b"x"], blobs=(blob, "f" * 32), labels={"k": "v"}, op_id="op")
        await raises(ConflictError, backend.commit(stream, change), "an unknown blob in a beginning")
        same(await backend.read(stream), Slice(None, []), "what a refused change left")
        await append(backend, stream, b"0")
        await raises(ConflictError, backend.commit(stream, change._replace(delete=True)), "an unknown blob")
        same(await stored(backend, stream), [b"0"], "entries")
        await raises(NotFoundError, _body(backend, stream, blob), "the other blob of a refused change")
        receipt = await backend.commit(stream, change._replace(blobs=(blob,)))
        same(receipt.repeated, False, "`repeated` of the call put right")


async def a_blob_belongs_to_its_stream(make: Make[Backend]) -> None:
    """A blob can be linked and read only in the stream it was written to."""
    async with make() as backend:
        stream, blob = await _linked(backend, b"secret")
        other = unique("blob")
        await raises(ConflictError, backend.commit(other, Change([b"x"], blobs=(blob,))), "a blob of another stream")
        await append(backend, other, b"0")
        await raises(ConflictError, backend.commit(other, Change([b"x"], blobs=(blob,))), "a blob of another stream")
        await raises(NotFoundError, _body(backend, other, blob), "a blob read beside another stream")
        same(await _body(backend, stream, blob), b"secret", "the blob beside its own stream")


async def a_blob_goes_with_its_entry(make: Make[Backend]) -> None:
    """A blob cannot be read once its entry is cut, dropped, deleted or expired, at once and after a sweep."""
    for gone in (Change(cut_from=0), Change(drop_before=1), Change(delete=True), Change(expires_at=LONG_AGO)):
        async with make() as backend, make() as other:
            stream, blob = await _linked(backend, b"body")
            await append(backend, stream, b"1")
            same(await _body(other, stream, blob), b"body", "a linked blob")
            await backend.commit(stream, gone)
            for opening in (backend, other):
                await raises(NotFoundError, _body(opening, stream, blob), f"a blob after {told(gone)}")
            await append(backend, stream, b"2")
            await raises(NotFoundError, _body(backend, stream, blob), f"a blob after {told(gone)} and an append")
            await backend.sweep()
            await raises(NotFoundError, _body(other, stream, blob), f"a blob after {told(gone)} and a sweep")


async def a_blob_of_a_past_life_stays_gone(make: Make[Backend]) -> None:
    """A blob of a deleted or expired stream cannot be linked in the next incarnation."""
    async with make() as backend:
        undo = Change([b"instead"], cut_from=0)
        for ends in ((Change(delete=True),), (Change(expires_at=LONG_AGO),), (undo, Change(delete=True))):
            gone = ends[-1]
            stream, blob = await _linked(backend, b"secret")
            for end in ends:
                await backend.commit(stream, end)
            revive = Change([b"x"], blobs=(blob,))
            await raises(ConflictError, backend.commit(stream, revive), f"a blob of a past life after {told(gone)}")
            await append(backend, stream, b"new")
            await raises(
                ConflictError, backend.commit(stream, revive), f"a blob of a past life after {told(gone)}, then begun"
            )
            await raises(NotFoundError, _body(backend, stream, blob), "a blob of a past life")


async def a_shared_blob_lives_until_its_last_entry_goes(make: Make[Backend]) -> None:
    """A blob of several entries exists until the last of them is gone, through every sweep."""
    async with make() as backend:
        stream, blob = await _linked(backend, b"body")
        await append(backend, stream, b"1")
        await backend.commit(stream, Change([b"2"], blobs=(blob,)))
        for gone in (Change(drop_before=1), Change(cut_from=3)):
            await backend.commit(stream, gone)
            await backend.sweep()
            same(
                await _body(backend, stream, blob),
                b"body",
                f"a blob that one entry still refers to, after {told(gone)}",
            )
        await backend.commit(stream, Change(cut_from=2))
        await raises(NotFoundError, _body(backend, stream, blob), "a blob whose last entry is gone")


async def a_life_may_begin_with_a_blob(make: Make[Backend]) -> None:
    """A change that begins a stream, or deletes and begins it, links a blob that was written before."""
    async with make() as backend:
        stream, old = await _linked(backend, b"old")
        new = await backend.write_blob(stream, _each([b"new"]))
        await backend.commit(stream, Change([b"x"], delete=True, blobs=(new,)))
        same(await _body(backend, stream, new), b"new", "the blob of the new life")
        await raises(NotFoundError, _body(backend, stream, old), "the blob of the old life")


async def a_sweep_spares_blobs_that_are_needed(make: Make[Backend]) -> None:
    """A sweep leaves linked blobs, fresh uploads and uploads under way."""
    async with make() as backend, make() as other:
        stream, linked = await _linked(backend, b"linked")
        fresh = await backend.write_blob(stream, _each([b"fresh"]))

        async def sweeping() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"part" * 100_000
                await other.sweep()

        under_way = await backend.write_blob(stream, sweeping())
        await backend.commit(stream, Change([b"x"], blobs=(fresh, under_way)))
        await other.sweep()
        found = [await _body(other, stream, blob) for blob in (linked, fresh, under_way)]
        same(found, [b"linked", b"fresh", b"part" * 300_000], "blobs after sweeps")


async def an_upload_is_in_nobodys_way(make: Make[Backend]) -> None:
    """During a blob's upload, its stream and others can be read, changed and uploaded to."""
    async with make() as backend, make() as other:
        stream = unique("blob")

        async def busy() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d" % number * MEGABYTE
                async with asyncio.timeout(20):
                    await append(other, stream, b"%d" % number)
                    await append(backend, stream, b"%d" % number)
                    await _linked(other, b"another upload")

        blob = await backend.write_blob(stream, busy())
        await backend.commit(stream, Change([b"end"], blobs=(blob,)))
        same(await stored(backend, stream), [b"0", b"0", b"1", b"1", b"2", b"2", b"end"], "entries")
        same(len(await _body(backend, stream, blob)), 3 * MEGABYTE, "the size of the blob")


async def an_interrupted_upload_leaves_nothing(make: Make[Backend]) -> None:
    """After an exception or a cancellation in an upload nothing of it is visible, and the backend works."""
    async with make() as backend:
        stream, begun = unique("blob"), asyncio.Event()
        await append(backend, stream, b"0")
        before = await backend.read(stream)

        async def failing() -> AsyncIterator[bytes]:
            yield b"x" * MEGABYTE
            raise _SourceError

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * MEGABYTE
            begun.set()
            await asyncio.Event().wait()

        result = await either(backend.write_blob(stream, failing()), _SourceError)
        holds(isinstance(result, _SourceError), "the error of the source comes out as it is")
        upload = asyncio.create_task(backend.write_blob(stream, endless()))
        async with asyncio.timeout(20):
            await begun.wait()
        upload.cancel()
        await asyncio.wait([upload], timeout=20)
        holds(upload.cancelled(), "a cancelled upload ends")
        same(await backend.read(stream), before, "the stream after interrupted uploads")
        blob = await backend.write_blob(stream, _each([b"whole"]))
        await backend.commit(stream, Change([b"1"], blobs=(blob,)))
        same(await _body(backend, stream, blob), b"whole", "the next upload")


async def a_blob_has_a_url_or_the_place_has_none(make: Make[Backend]) -> None:
    """A committed blob has a URL that returns its bytes, or UnsupportedError; an unknown blob is a NotFoundError."""
    hour = timedelta(hours=1)
    async with make() as backend, make() as other:
        stream, blob = await _linked(backend, b"body")
        another, _ = await _linked(backend, b"another")
        url = await either(other.blob_url(stream, blob, expires=hour), UnsupportedError)
        links = not isinstance(url, UnsupportedError)
        if not isinstance(url, UnsupportedError):
            same(await fetch(url), b"body", "what the URL of a blob gives")
        fresh = await backend.write_blob(stream, _each([b"fresh"]))
        for name, known in ((unique("blob"), blob), (another, blob), (stream, "another"), (stream, fresh)):
            call = backend.blob_url(name, known, expires=hour)
            await raises(NotFoundError if links else UnsupportedError, call, "a URL of a blob that is not there")
        for expires in (timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)):
            error = await either(backend.blob_url(stream, blob, expires=expires), StowfastError)
            wanted = InvalidError if links else (InvalidError, UnsupportedError)
            holds(isinstance(error, wanted), f"a URL for {expires} is refused")
        await backend.commit(stream, Change(delete=True))
        call = other.blob_url(stream, blob, expires=hour)
        await raises(NotFoundError if links else UnsupportedError, call, "a URL of a blob of a stream that was deleted")


class _SourceError(Exception):
    pass


async def _each(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _body(backend: Backend, stream: str, blob: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in backend.read_blob(stream, blob, start=start, stop=stop)])


async def _linked(backend: Backend, body: bytes) -> tuple[str, str]:
    stream = unique("blob")
    blob = await backend.write_blob(stream, _each([body]))
    await backend.commit(stream, Change([b"0"], blobs=(blob,)))
    return stream, blob


CLAUSES = clauses(__name__)
