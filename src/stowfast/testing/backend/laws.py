"""The laws of commits: a row for each kind of change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, Change
from stowfast.testing.clause import numbered
from stowfast.testing.laws import DELETED, LOST, RACE, REPEAT, Verb, table

if TYPE_CHECKING:
    from stowfast.abc import Backend, Receipt

__all__ = ["CHANGES", "CLAUSES", "LAWS"]

CHANGES: Final = {
    ("append", "an append"): Change([b"new", b"newer"]),
    ("change_of_the_head", "a change of labels, note and base"): Change(labels={"k": "new"}, note=b"new", base=2),
    ("cut", "a cut"): Change(cut_from=4),
    ("drop", "a drop"): Change(drop_before=2),
    ("replacement", "a replacement of the stream"): Change([b"new"], delete=True),
    ("delete", "a delete"): Change(delete=True),
}
"""Each kind of change, by its key and its words."""


async def _begin(backend: Backend, stream: str) -> None:
    await backend.commit(stream, Change(numbered(6), labels={"k": "first"}, note=b"first", base=1))


async def _nothing(_backend: Backend, _stream: str) -> None:
    pass


async def _later(backend: Backend, stream: str) -> None:
    await backend.commit(stream, Change([b"later"], labels={"k": "later"}, note=b"later", base=0))


async def _delete(backend: Backend, stream: str) -> None:
    await backend.commit(stream, Change(delete=True))


async def _read(backend: Backend, stream: str) -> Any:
    head, entries = await backend.read(stream, ALL._replace(start=0))
    return head and (head.first, head.next, head.base, head.labels, head.note), [
        (entry.position, entry.data) for entry in entries
    ]


async def _one_position(_backend: Backend, _stream: str) -> dict[str, Any]:
    return {"expect": 6}


async def _one_revision(backend: Backend, stream: str) -> dict[str, Any]:
    (head,) = await backend.heads([stream])
    return {"revision": head.revision} if head else {}


def _verb(key: str, text: str, change: Change) -> Verb:
    async def call(backend: Backend, stream: str, **options: Any) -> Receipt:
        return await backend.commit(stream, change._replace(**options))

    condition = _one_position if key == "append" else _one_revision
    verb = Verb(key, text, _begin, call, _read, _later, _delete, condition)
    return verb._replace(repeated=lambda receipt: receipt._replace(repeated=True))


_VERBS: Final = [_verb(key, text, change) for (key, text), change in CHANGES.items()]
_APPEND, _HEAD, _CUT, _DROP, _REPLACEMENT, _DELETE = _VERBS
_OF_NOTHING: Final = _DELETE._replace(key="delete_of_nothing", text="a delete of an unknown stream", begin=_nothing)

LAWS: Final = table(
    __name__,
    {
        REPEAT: {
            _APPEND: "a_repeat_adds_nothing",
            _HEAD: "a_repeat_without_entries_is_still_one",
            _DELETE: "a_repeated_delete_spares_what_came_after",
            **dict.fromkeys((_CUT, _DROP, _REPLACEMENT, _OF_NOTHING)),
        },
        LOST: {
            _APPEND: "a_lost_answer_is_no_lost_and_no_doubled_entry",
            **dict.fromkeys((_HEAD, _CUT, _DROP, _REPLACEMENT, _DELETE)),
        },
        RACE: {
            _APPEND._replace(current=lambda receipt: receipt.next): "of_racing_expectations_one_wins",
            **dict.fromkeys((_CUT, _DROP, _REPLACEMENT, _DELETE)),
        },
        DELETED: {
            _APPEND: "a_repeat_in_the_next_life_is_still_one",
            **dict.fromkeys((_HEAD, _CUT, _DROP, _REPLACEMENT)),
        },
    },
)
CLAUSES: Final = tuple(LAWS.values())
