"""The appends of a batch are written together, and mean the same as `apply` for one after the other."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

import pytest

from stowfast.abc import Change, Entry, Head, Receipt
from stowfast.errors import StowfastError
from stowfast.semantics import apply, placed, repeat
from tests.unit.backends.postgres.test_faults import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.backends.postgres.backend import PostgresBackend
    from stowfast.semantics import Effect
    from tests.services.postgres import PostgresServer

BATCHES = 60
MUTANTS = {
    "move_heads: next": ("next = m.next", "next = m.next + 1"),
    "move_heads: length": ("length = m.length", "length = s.length"),
    "move_heads: updated_at": ("updated_at = m.updated_at,", "updated_at = s.updated_at,"),
    "move_heads: recent": ("recent = m.updated_at >> 26", "recent = s.recent"),
    "move_heads: checksum": ("checksum = m.checksum FROM", "checksum = s.checksum FROM"),
    "move_heads: row": ("WHERE s.id = m.id", "WHERE s.id = m.id AND m.id > 50"),
    "append_entries: position": (".entries (stream, position,", ".entries (position, stream,"),
    "append_entries: op_id": ("SELECT e.* FROM", "SELECT stream, position, created_at, checksum, 'another', data FROM"),
    "remember_appends: first": (
        ".operations (stream, op_id, incarnation, first, next,",
        ".operations (stream, op_id, incarnation, next, first,",
    ),
}
"""An edit of each expression of the statements of a batch."""


@pytest.fixture
async def backend(postgres_server: PostgresServer) -> AsyncIterator[PostgresBackend]:
    async with opened(postgres_server) as backend:
        yield backend


class Model:
    """One stream after the changes so far."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.entries: list[Entry] = []
        self.receipts: dict[str, Receipt] = {}

    def make(self, name: str, change: Change, found: Receipt | StowfastError) -> None:
        """Make a change by `apply`, at the moment of the receipt, and compare its outcome."""
        known = None if change.op_id is None else self.receipts.get(change.op_id)
        if isinstance(found, StowfastError):
            with pytest.raises(type(found)):
                self._outcome(name, change, known, 2**60, "none")
            return
        effect = self._outcome(name, change, known, found.committed_at, found.incarnation)
        wanted = effect if isinstance(effect, Receipt) else effect.receipt
        assert found == wanted, change
        if isinstance(effect, Receipt):
            return
        kept = [] if effect.fresh else self.entries
        kept = [one for one in kept if not any(start <= one.position < stop for start, stop in effect.remove)]
        self.entries = [*kept, *placed(change, wanted)]
        self.head = None if effect.head is None else effect.head._replace(length=len(self.entries))
        if change.op_id is not None:
            self.receipts[change.op_id] = wanted

    def _outcome(self, name: str, change: Change, known: Receipt | None, now: int, life: str) -> Effect | Receipt:
        if known is not None:
            return repeat(known, change)
        return apply(name, self.head, change, now=now, incarnation=lambda: life)


def any_change(chance: random.Random) -> Change:
    op_id = chance.choice((None, None, "first", "second", uuid.uuid4().hex))
    entries = [chance.randbytes(chance.randrange(9)) for _ in range(chance.randrange(4))]
    if chance.random() < 0.6:
        return Change(entries, op_id=op_id)
    others = (
        Change(entries, op_id=op_id, expect=chance.randrange(6)),
        Change(entries, cut_from=chance.randrange(6)),
        Change(entries, drop_before=chance.randrange(6)),
        Change(entries, note=b"note", labels={"k": "v"}),
        Change(entries, delete=True),
        Change(entries, quiet=True),
    )
    return chance.choice(others)


async def means_the_same(backend: PostgresBackend, seed: int) -> None:
    """Make batches of random changes of a few streams, and compare all that is stored with the model."""
    chance = random.Random(seed)
    models = {f"notes/{number}/{uuid.uuid4().hex}": Model() for number in range(3)}
    schema = backend._database.statements.schema.as_string()
    for _ in range(3):
        with backend._database.lend() as connection:  # as if the streams were old
            connection.execute(f"UPDATE {schema}.streams SET recent = 0".encode())
        works = [(chance.choice([*models]), any_change(chance)) for _ in range(chance.randrange(2, 16))]
        outcomes = backend._committer.run(works)
        made = zip(works, outcomes, strict=True)
        touched = {name for (name, _), found in made if isinstance(found, Receipt) and not found.repeated}
        for (name, change), found in zip(works, outcomes, strict=True):
            models[name].make(name, change, found)
        for name, model in models.items():
            head, entries = await backend.read(name)
            assert head == model.head, works
            assert entries == model.entries, works
            if head is not None and name in touched:
                with backend._database.lend() as connection:
                    query = f"SELECT recent FROM {schema}.streams WHERE name = %s"
                    assert connection.execute(query.encode(), [name]).fetchone() == (head.updated_at >> 26,)
    for name, model in models.items():
        for op_id, receipt in model.receipts.items():
            again = Change([b""] * (receipt.next - receipt.first), op_id=op_id)
            assert await backend.commit(name, again) == receipt._replace(repeated=True)


async def test_a_batch_means_the_same_as_apply(backend: PostgresBackend) -> None:
    for seed in range(BATCHES):
        await means_the_same(backend, seed)


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_wrong_expression_is_found(backend: PostgresBackend, name: str) -> None:
    old, new = (text.encode() for text in MUTANTS[name])
    composed, statement = backend._database.statements._composed, name.partition(":")[0]
    assert composed[statement].count(old) == 1, "this edits nothing"
    composed[statement] = composed[statement].replace(old, new)
    with pytest.raises((AssertionError, StowfastError, pytest.fail.Exception)):
        await test_a_batch_means_the_same_as_apply(backend)
