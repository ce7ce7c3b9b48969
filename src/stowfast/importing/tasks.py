"""Tasks of a source, in the form in which `stores.tasks` keeps them: each version a delta of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import KEEP, Change
from stowfast.deltas import decode
from stowfast.errors import InvalidError
from stowfast.importing.streams import SourceStream, moment_of
from stowfast.names import MAX_MOMENT, check_name
from stowfast.stores.codec import encode, stream_name
from stowfast.stores.tasks.head_note import KIND, TaskNote
from stowfast.stores.tasks.save import parse_save
from stowfast.stores.tasks.spans import first_version, next_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stowfast.importing.streams import SourceEntry
    from stowfast.records import TaskState
    from stowfast.stores.tasks.save import Save

__all__ = ["task"]

_ANY_POSITION: Final = 2**62
"""Above each base, which is all that a delta tells about its own position."""


def task(
    newest: TaskState,
    versions: Iterable[tuple[object, TaskState]],
    steps: Iterable[tuple[str, Any]] = (),
    *,
    newest_only: bool = False,
) -> SourceStream:
    """Return a task.

    Args:
        newest: its newest version: its status, its metadata and its expiry are those of the task.
        versions: a time, as for `moment_of`, and a state, each.
        steps: recorded steps by their keys, the most needed first. Those beyond 48 KiB are left out.
        newest_only: the one version replaces the version before it.

    Raises:
        InvalidError: JSON cannot store the newest version or a step.
    """
    save = _parsed(newest)
    expires_at = KEEP if save.expires_at is None else save.expires_at
    change = Change(labels=save.labels, note=_note(steps).write(), expires_at=expires_at)
    name = stream_name(KIND, "task_id", newest.task_id)
    return SourceStream(name, _entries(versions), change, newest_only=newest_only, equal=_is_same)


def _entries(versions: Iterable[tuple[object, TaskState]]) -> Iterator[SourceEntry]:
    chain, saved_at = None, 0
    for position, (moment, state) in enumerate(versions):
        text, known = _parsed(state).text, moment_of(moment)
        entry, chain = first_version(position, text) if chain is None else next_version(chain, text, saved_at)
        saved_at = saved_at if known is None else min(max(known, saved_at), MAX_MOMENT)
        yield known, entry


def _parsed(state: TaskState) -> Save:
    return parse_save(state, expect=None, lease=None, retention=None, op_id=None)


def _note(steps: Iterable[tuple[str, Any]]) -> TaskNote:
    note = TaskNote()
    for key, result in steps:
        check_name(key, "a step_key")
        encoded = encode(result, f"the result of step {key!r}")
        try:
            note = note.with_step(key, encoded)
        except InvalidError:  # the head of a task has no room for more
            break
    return note


def _is_same(one: bytes, other: bytes) -> bool:
    """Compare the checksums of the texts: a delta may differ with the release of the compressor."""
    ours, theirs = decode(one, _ANY_POSITION, "the source"), decode(other, _ANY_POSITION, "the target")
    return (ours.size, ours.crc) == (theirs.size, theirs.crc)
