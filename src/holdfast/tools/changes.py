"""What changed between two JSON values, in a few words: `step 3 → 4`, `messages +1`, `plan[2].done false → true`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast.tools.terminal import brief, compact, many, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["changes", "in_words", "same"]

_LONG: Final = 24
"""Characters of a value that is shown itself; of a longer one its length is told."""
_PATH: Final = 32


def changes(before: Any, after: Any) -> list[str]:
    """Return what changed, each in a few words, what is nearest to the top first; nothing where nothing did."""
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
    """Return a short value as it is, of a longer one what it is."""
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
                yield from _walk(before[key], value, (*path, f".{key}"))
            else:
                yield (*path, f".{key}"), f"added: {in_words(value)}"
        yield from (((*path, f".{key}"), "removed") for key in before if key not in after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path)
    elif not same(before, after):
        yield path, _replaced(before, after)


def _items(before: list[Any], after: list[Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if len(before) == len(after):
        other = [index for index in range(len(after)) if not same(before[index], after[index])]
        if len(other) == 1:
            (index,) = other
            yield from _walk(before[index], after[index], (*path, f"[{index}]"))
        elif other:
            yield path, f"{len(other):,} of {many(len(after), 'item')} changed"
        return
    begin = _alike(before, after)
    end = min(_alike(before[::-1], after[::-1]), min(len(before), len(after)) - begin)
    removed, added = len(before) - begin - end, len(after) - begin - end
    yield path, " ".join(f"{sign}{count:,}" for sign, count in (("+", added), ("-", removed)) if count)


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


def _named(path: tuple[str, ...]) -> str:
    name = plain("".join(path).removeprefix(".")) if path else "data"
    return name if len(name) <= _PATH else f"…{name[1 - _PATH :]}"
