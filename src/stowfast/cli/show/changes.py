"""The changes between two JSON values in a few words: `step 3 → 4`, `messages +1`, `plan[2].done false → true`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.cli.terminal import brief, compact, many, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["changes", "in_words", "same"]

_LONG: Final = 24
"""Characters of a value that is shown itself; of a longer one the length is shown."""
_PATH: Final = 32


def changes(before: Any, after: Any) -> list[str]:
    """Return each change in a few words, those nearest to the top first; an empty list if nothing changed."""
    found = sorted(_walk(before, after, ()), key=lambda change: len(change[0]))  # stable: else as the keys come
    return [f"{_named(path)} {what}" for path, what in found]


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON: to Python 1, 1.0 and True are equal."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def in_words(value: Any) -> str:
    """Return a short value itself, and the kind and size of a longer one."""
    if isinstance(value, dict):
        return many(len(value), "key") if value else "{}"
    if isinstance(value, list):
        return many(len(value), "item") if value else "[]"
    if isinstance(value, str):
        if len(value) > _LONG:
            return many(len(value), "character")
        return brief(value, _LONG) or '""'
    return brief(compact(value), _LONG)


def _walk(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in after.items():
            if key in before:
                yield from _walk(before[key], value, (*path, _key(key)))
            else:
                yield (*path, _key(key)), f"added: {in_words(value)}"
        yield from (((*path, _key(key)), "removed") for key in before if key not in after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path)
    elif not same(before, after):
        yield path, _replaced(before, after)


def _items(before: list[Any], after: list[Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    shared = min(len(before), len(after))
    begin = _alike(before, after)
    other = [index for index in range(begin, shared) if not same(before[index], after[index])]
    end = min(_alike(before[::-1], after[::-1]), shared - begin)
    removed, added = len(before) - begin - end, len(after) - begin - end
    slid = _slid(before, after) if len(other) > 1 else 0
    if slid:
        yield path, _signed(len(after) - len(before) + slid, slid)
    elif len(before) != len(after) and len(other) >= min(removed, added):
        yield path, _signed(added, removed)
    else:  # what is there stands where it stood
        if len(before) != len(after):
            yield path, f"{len(after) - len(before):+,}"
        if len(other) == 1:
            yield from _walk(before[other[0]], after[other[0]], (*path, f"[{other[0]}]"))
        elif other:
            yield path, f"{len(other):,} of {many(len(before), 'item')} changed"


def _signed(added: int, removed: int) -> str:
    return " ".join(f"{sign}{count:,}" for sign, count in (("+", added), ("-", removed)) if count)


def _slid(before: list[Any], after: list[Any]) -> int:
    """Return how many items left at the beginning while the rest stayed and others came at the end; 0 if it is not so.

    So a window over the newest messages moves.
    """
    for count in range(1, len(before)):
        rest = len(before) - count
        if rest <= len(after) and same(before[count], after[0]) and same(before[count:], after[:rest]):
            return count
    return 0


def _alike(left: Sequence[Any], right: Sequence[Any]) -> int:
    """Return how many items are the same from the beginning on."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if not same(one, other):
            break
        count += 1
    return count


def _replaced(before: Any, after: Any) -> str:
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > _LONG:
        if after.startswith(before):
            return f"+{many(len(after) - len(before), 'character')}"
        if before.startswith(after):
            return f"-{many(len(before) - len(after), 'character')}"
        return f"rewritten, {in_words(after)}"
    return f"{in_words(before)} → {in_words(after)}"


def _key(key: str) -> str:
    return f".{key}" if key else '.""'


def _named(path: tuple[str, ...]) -> str:
    name = " ".join(plain("".join(path).removeprefix(".")).split()) if path else "data"
    return name if len(name) <= _PATH else f"…{name[1 - _PATH :]}"
