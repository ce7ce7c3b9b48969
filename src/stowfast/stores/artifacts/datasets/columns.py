"""The columns of a dataset: the types of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Columns"]

_TYPES: Final[dict[str, frozenset[type]]] = {
    "string": frozenset({str}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "object": frozenset({dict}),
    "array": frozenset({list}),
    "any": frozenset({str, int, float, bool, dict, list, type(None)}),
}


class Columns:
    """The declared columns of a dataset.

    Raises:
        InvalidError: the declaration is invalid.
    """

    def __init__(self, declared: dict[str, str]) -> None:
        given: Any = declared
        if not isinstance(given, dict):
            raise InvalidError(f"columns must be a dict of names and types, not {type(given).__name__}")
        self.declared: dict[str, str] = dict(given)
        for name, kind in self.declared.items():
            if type(name) is not str or type(kind) is not str or kind.removesuffix("?") not in _TYPES:
                raise InvalidError(
                    f"column {shown(name)}: {shown(kind)} is none of {', '.join(_TYPES)}, with or without a ?"
                )
        self._types = {
            name: _TYPES[kind.removesuffix("?")] | ({type(None)} if kind.endswith("?") else frozenset())
            for name, kind in self.declared.items()
        }

    def grown_from(self, earlier: Columns | None) -> bool:
        """Return True if rows of the earlier columns match these: new columns may be null."""
        if earlier is None:
            return False
        added = self.declared.keys() - earlier.declared.keys()
        kept = earlier.declared.items() <= self.declared.items()
        return kept and all(self.declared[name].endswith("?") for name in added)

    def check(self, rows: Sequence[dict[str, Any]], first: int) -> None:
        """Raise for the first row that does not match, with its number, counted from 0, and the column."""
        names, types = self._types.keys(), self._types.items()
        for number, row in enumerate(rows, first):
            if not row.keys() <= names:
                raise InvalidError(f"row {number:,} has {min(row.keys() - names, key=str)!r}, which is no column")
            for name, allowed in types:
                if type(row.get(name)) not in allowed:
                    found = f"is {type(row[name]).__name__}" if name in row else "is missing"
                    raise InvalidError(f"row {number:,}: column {name!r} {found}, not {self.declared[name]}")
