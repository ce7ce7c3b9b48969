"""A move: stream by stream, under writers that use `MovingBackend`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from stowfast.errors import ConflictError, DamagedError, UnavailableError
from stowfast.moving.copying import Place, opened_place
from stowfast.moving.marks import Marked, cut_over, is_marked, unmark, was_moved
from stowfast.moving.one_place import below
from stowfast.moving.results import Copied, Difference, reporter
from stowfast.moving.selection import EVERYTHING, Selection, check_selection, count_total, listed
from stowfast.moving.streams import DifferentError, StreamCopy
from stowfast.stores.optimistic import delete_if_still

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.abc import Backend

__all__ = ["move"]

_MAX_ATTEMPTS: Final = 1_000


async def move(
    source: Place,
    target: Place,
    *,
    selection: Selection = EVERYTHING,
    check: bool = True,
    progress: Callable[[Copied], None] | None = None,
) -> Copied:
    """Move streams to another place, while programs write to them through `moving:?from=SOURCE&to=TARGET`.

    Each stream is copied, then deleted at the source on the condition that nothing came since; else the rest is copied
    first. No writer is stopped. A writer that does not use `moving:` may begin a stream at the source again: such a
    stream is in `Copied.differences`. A move that was interrupted or killed is repeated and goes on.

    Args:
        source: a URL, or stores.
        target: a URL, or stores.
        selection: the streams to move.
        check: read each copy back and compare it before its source is deleted.
        progress: called with the counts so far, after each stream.

    Raises:
        InvalidError: source and target are one place.
        UnavailableError: a place gives no answer. Repeat the call.
    """
    check_selection(selection)
    done, report = Copied(), reporter(progress)
    async with AsyncExitStack() as stack:
        old, new = await opened_place(source, stack), await opened_place(target, stack)
        await below(source, old, target, new)
        names = listed(old, selection._replace(where=None), heads=False)
        await count_total(names, done, report, told=not selection.where)
        async for one in listed(old, selection, heads=bool(selection.where)):
            done.selected += 1
            try:
                await _move_stream(old, new, one.name, done, check=check, report=report)
            except (DifferentError, DamagedError) as error:
                done.differences.append(Difference(one.name, str(error)))
            report(done)
        async for one in listed(new):  # a mover that was killed between its last two steps left these
            if one.head is not None and is_marked(one.head):
                await _finish(old, new, one.name)
    return done


async def _move_stream(
    old: Backend, new: Backend, name: str, done: Copied, *, check: bool, report: Callable[[Copied], None]
) -> None:
    target = Marked(new)
    for _ in range(_MAX_ATTEMPTS):
        (there,) = await new.heads([name])
        if there is not None and not is_marked(there) and (await old.heads([name]))[0] is not None:
            raise DifferentError("it lives in both places: a writer without moving: began it again")
        one = StreamCopy(old, target, name, done, replace=True, report=report)
        head = await one.run()
        if head is None:
            break  # deleted meanwhile, or moved by another mover
        try:
            checked = check and await one.check(head)
            await cut_over(old, head)
        except ConflictError:
            continue  # something came: copy the rest
        except DifferentError:
            if (await old.heads([name]))[0] == head:
                raise
            continue
        done.streams += 1
        done.checked += checked
        break
    else:
        raise UnavailableError(f"{name!r} changed {_MAX_ATTEMPTS} times while it was moved: repeat the move")
    await _finish(old, new, name)


async def _finish(old: Backend, new: Backend, name: str) -> None:
    """Put the copy of a moved stream into use, and delete that of a stream deleted meanwhile."""
    (head,), (there,) = await new.heads([name]), await old.heads([name])
    if head is None or not is_marked(head) or there is not None:
        return
    try:
        if await was_moved(old, name, head.incarnation):
            await unmark(new, head)
        else:
            await new.commit(name, delete_if_still(head))
    except ConflictError:
        return  # a writer did it first
