"""Broken writers: the same five faults in `open_writer` and in `open_live`."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partialmethod
from typing import TYPE_CHECKING, Any

from stowfast import Artifact, Artifacts, ConflictError
from stowfast.testing.artifacts import live, writers
from tests.mutants import breaks

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.testing import Clause


@asynccontextmanager
async def shows_what_is_written(self, method, artifact_id, **options):
    with suppress(ConflictError):
        await self.create(Artifact(artifact_id=artifact_id, content=b"to come"))
    async with getattr(Artifacts, method)(self, artifact_id, **options) as writer:
        yield writer


def forgets_what_it_is_told(self, method, artifact_id, **options):
    return getattr(Artifacts, method)(self, artifact_id, **{**options, "metadata": None})


@asynccontextmanager
async def takes_text_for_bytes(self, method, artifact_id, **options):
    async with getattr(Artifacts, method)(self, artifact_id, **options) as writer:
        kind = type(writer)

        async def write(self, piece):
            await kind.write(self, piece.encode() if isinstance(piece, str) else piece)

        writer.__class__ = type("Encodes", (kind,), {"write": write})
        yield writer


@asynccontextmanager
async def keeps_what_came_before(self, method, artifact_id, **options):
    failed = None
    async with getattr(Artifacts, method)(self, artifact_id, **options) as writer:
        try:
            yield writer
        except BaseException as error:  # noqa: BLE001 - raised below
            failed = error
    if failed is not None:
        raise failed


@asynccontextmanager
async def cleans_up_too_much(self, method, artifact_id, **options):
    try:
        async with getattr(Artifacts, method)(self, artifact_id, **options) as writer:
            yield writer
    except BaseException:
        await self.delete(artifact_id)
        raise


BROKEN: dict[Callable[..., Any], dict[str, tuple[Clause[Any], ...]]] = {
    shows_what_is_written: {
        "open_writer": (writers.what_a_writer_takes_is_seen_whole_once_it_closes,
                        writers.a_writer_that_fails_leaves_all_as_it_was),
        "open_live": (live.what_was_written_live_becomes_a_version, live.what_fails_live_is_no_version,
                      live.info_says_how_it_goes),
    },
    forgets_what_it_is_told: {
        "open_writer": (writers.what_a_writer_takes_is_seen_whole_once_it_closes,),
        "open_live": (live.what_was_written_live_becomes_a_version,),
    },
    takes_text_for_bytes: {
        "open_writer": (writers.a_writer_takes_bytes_or_text,),
        "open_live": (live.what_was_written_live_becomes_a_version,),
    },
    keeps_what_came_before: {
        "open_writer": (writers.a_writer_that_fails_leaves_all_as_it_was,),
        "open_live": (live.what_fails_live_is_no_version,),
    },
    cleans_up_too_much: {
        "open_writer": (writers.a_writer_that_fails_leaves_all_as_it_was,),
        "open_live": (live.what_fails_live_is_no_version,),
    },
}  # fmt: skip
for fault, methods in BROKEN.items():
    for method, clauses in methods.items():
        name = f"{method}_{fault.__name__}"
        breaks(*clauses)(type(name, (Artifacts,), {method: partialmethod(fault, method)}))
