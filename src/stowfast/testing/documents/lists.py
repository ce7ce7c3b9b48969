"""Clauses of lists of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.testing.clause import clauses, raises, same, tick, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.tasks.states import noise

if TYPE_CHECKING:
    from stowfast.records import Document, Page
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_LARGE: Final = noise(50_000)


async def documents_are_listed_with_their_data(make: Make[Stores]) -> None:
    """A list returns documents as `get` does, small and large, each once over all pages, by id or the last changed."""
    async with make() as stores:
        prefix, documents = unique("list"), stores.documents
        values: dict[str, Any] = {f"{prefix}/{n}": {"n": n, "text": _LARGE if n % 3 == 0 else ""} for n in range(7)}
        for document, data in values.items():
            await documents.put(document, data, metadata={"n": data["n"]})
        await documents.put(f"{prefix}/gone", 1)
        await documents.delete(f"{prefix}/gone")
        await documents.put(f"{unique('list')}/of another prefix", 1)
        by_id = await _pages(stores, prefix, "id")
        exactly({one.document_id: one.data for one in by_id}, values, "documents by id")
        same(by_id, [await documents.get(document) for document in values], "documents as `get` returns them")
        await tick(stores.backend)
        await documents.put(f"{prefix}/2", values[f"{prefix}/2"])
        recent = await _pages(stores, prefix, "recent")
        same(recent[0].document_id, f"{prefix}/2", "the last changed document")
        same(sorted(one.document_id for one in recent), sorted(values), "documents by their last change")


async def documents_are_found_by_metadata(make: Make[Stores]) -> None:
    """`where` selects by texts, numbers, booleans and None of the metadata; other values cannot be asked for."""
    async with make() as stores:
        prefix, documents = unique("found"), stores.documents
        kinds: list[Any] = ["1", 1, 1.5, True, False, None, "ada"]
        for number, kind in enumerate(kinds):
            await documents.put(f"{prefix}/{number}", number, metadata={"kind": kind, "of": prefix, "list": [1]})
        for number, kind in enumerate(kinds):
            found = await documents.list(prefix=prefix, where={"kind": kind, "of": prefix})
            same([one.data for one in found], [number], f"documents of kind {kind!r}")
        same((await documents.list(where={"kind": "other", "of": prefix})).items, [], "documents of no kind")
        await documents.put(f"{prefix}/0", 0, metadata={"kind": "new"})
        same((await documents.list(prefix=prefix, where={"kind": "1"})).items, [], "documents of an earlier kind")
        not_asked: tuple[dict[str, Any], ...] = ({"kind": [1]}, {"kind": {}}, {"kind": "x" * 600})
        for wrong in not_asked:
            await raises(InvalidError, documents.list(where=wrong), f"where={str(wrong)[:40]}")


async def _pages(stores: Stores, prefix: str, order: Any) -> list[Document]:
    found: list[Document] = []
    page: Page[Document] = await stores.documents.list(prefix=prefix, order=order, limit=2)
    while True:
        found += page.items
        if page.next is None:
            return found
        page = await stores.documents.list(prefix=prefix, order=order, limit=2, after=page.next)


CLAUSES = clauses(__name__)
