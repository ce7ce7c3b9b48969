"""Reads of documents below the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast
from stowfast.backends.memory import MemoryBackend
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.abc import Slice, Window
    from stowfast.errors import StowfastError


class Noting(Wrapper):
    """Notes the streams of each call of `read_many`."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.together: list[list[str]] = []

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        self.together.append([stream for stream, _ in reads])
        return await self.backend.read_many(reads)


async def test_large_documents_of_a_page_are_read_in_one_call() -> None:
    backend = Noting()
    documents = stowfast.Stores(backend).documents
    large = "x" * 40_000
    for number in range(5):
        await documents.put(f"large-{number}", [number, large])
        await documents.put(f"small-{number}", number)
    page = await documents.list(order="id")
    assert [one.data for one in page] == [*([number, large] for number in range(5)), *range(5)]
    assert backend.together == [[f"documents/large-{number}" for number in range(5)]]
