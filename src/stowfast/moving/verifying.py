"""The verification of a place: everything is read, nothing is written."""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from stowfast.abc import Window
from stowfast.errors import DamagedError, NotFoundError, StowfastError, UnsupportedError
from stowfast.moving.blobs import bare_head, blob_in, content_matches, with_blob
from stowfast.moving.copying import Place, opened_place
from stowfast.moving.results import Difference, Verified, reporter
from stowfast.moving.selection import EVERYTHING, Selection, check_selection, count_total, kind_of, listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stowfast.abc import Backend, Entry, Head, Slice

__all__ = ["Audited", "verify"]

_TOGETHER: Final = 64
_PART_BYTES: Final = 2**20
_encode: Final = msgspec.msgpack.Encoder(order="sorted").encode


class Audited(Protocol):
    """An optional method of a backend: the damage that no read of a stream finds."""

    def audit(self) -> AsyncIterator[tuple[str, str]]:
        """Yield a stream, or a part of the backend, with the reason. Nothing is written."""
        ...


async def verify(
    place: Place,
    *,
    selection: Selection = EVERYTHING,
    progress: Callable[[Verified], None] | None = None,
) -> Verified:
    """Read every head, entry and blob, and return the damage with a digest of the whole. Nothing is written.

    Each backend checks its checksums while it reads; the content of each artifact is compared with its SHA-256. Of a
    whole place also deleted and expired streams are checked; in SQLite and PostgreSQL receipts and the agreement of the
    tables, in a bucket the marker and the indexes. Two places with equal content have one digest: it covers names,
    heads, positions, times, op_ids and content, and neither the ids of blobs nor remembered calls without entries.
    Writers may go on; the digest is that of a place at rest.

    Args:
        place: a URL, or stores.
        selection: the streams to read. All, by default.
        progress: called with the counts so far, after each step.

    Raises:
        InvalidError: an argument is wrong.
        UnavailableError: the place gives no answer.
    """
    check_selection(selection)
    report = reporter(progress)
    async with AsyncExitStack() as stack:
        backend = await opened_place(place, stack, reading=True)
        done, digests = Verified(), list[bytes]()
        waiting: list[str] = []

        async def read_waiting() -> None:
            window = Window(start=0, max_bytes=_PART_BYTES)
            for name, found in zip(waiting, await backend.read_many([(name, window) for name in waiting]), strict=True):
                try:
                    digest = await _digest(backend, name, found, done, report)
                except (DamagedError, NotFoundError, UnsupportedError) as error:
                    done.damaged.append(Difference(name, str(error)))
                else:
                    if digest is not None:
                        digests.append(digest)
            waiting.clear()
            report(done)

        names = listed(backend, selection._replace(where=None), heads=False)
        await count_total(names, done, report, told=not selection.where)
        async for one in listed(backend, selection, heads=False):
            waiting.append(one.name)
            if len(waiting) >= _TOGETHER:
                await read_waiting()
        await read_waiting()
        if not any(selection) and hasattr(backend, "audit"):
            named = {one.stream for one in done.damaged}
            async for name, reason in cast("Audited", backend).audit():
                if name not in named:
                    done.damaged.append(Difference(name, reason))
                report(done)
        done.digest = hashlib.sha256(b"".join(sorted(digests))).hexdigest()
        return done


async def _digest(
    backend: Backend, name: str, found: Slice | StowfastError, done: Verified, report: Callable[[Verified], None]
) -> bytes | None:
    """Return the digest of one stream, and count it; None: it was deleted meanwhile.

    Raises:
        DamagedError: a part of it is not as it was written.
        NotFoundError: a blob is not there.
        UnsupportedError: a newer version wrote it.
    """
    if isinstance(found, StowfastError):
        raise found
    head, entries = found
    if head is None:
        return None
    digest = hashlib.sha256(_encode([name, _told(head)]))
    count = 0
    while True:
        for entry in entries:
            if not head.first <= entry.position < head.next:
                raise DamagedError(f"{name!r}: an entry has the position {entry.position}, where none can be")
            digest.update(_encode(await _told_entry(backend, name, entry, done, report)))
            count += 1
            done.bytes += len(entry.data)
        if count >= head.length or not entries:
            break
        following, entries = await backend.read(
            name, Window(start=entries[-1].position + 1, stop=head.next, max_bytes=_PART_BYTES)
        )
        if following is None or (following.incarnation, following.revision) != (head.incarnation, head.revision):
            return None  # changed meanwhile: no digest of a place at work means anything
    if count != head.length:
        raise DamagedError(f"{name!r}: of {head.length:,} entries {count:,} are there")
    done.streams += 1
    done.entries += count
    done.kinds[kind_of(name)] = done.kinds.get(kind_of(name), 0) + 1
    return digest.digest()


def _told(head: Head) -> list[Any]:
    bare = bare_head(head)
    assert bare is not None
    return [*bare]


async def _told_entry(
    backend: Backend, name: str, entry: Entry, done: Verified, report: Callable[[Verified], None]
) -> list[Any]:
    def count(size: int) -> None:
        done.bytes += size
        report(done)

    data, record = entry.data, blob_in(name, entry.data)
    if record is not None:
        if not await content_matches(backend, name, record, count):
            raise DamagedError(f"{name!r}: the content of the entry at {entry.position} is not as it was written")
        done.blobs += 1
        data = with_blob(data, "")
    return [entry.position, entry.created_at, entry.op_id, data]
