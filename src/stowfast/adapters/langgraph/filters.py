"""Filters of a search: conditions on the value of an item, as LangGraph's stores read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["matches"]

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$gt": lambda left, right: left > right,
    "$gte": lambda left, right: left >= right,
    "$lt": lambda left, right: left < right,
    "$lte": lambda left, right: left <= right,
}


def matches(value: dict[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Return True if a value meets every condition.

    A key is one of the value, or a path of keys with dots. A missing key counts as None. A condition is a value to be
    equal to, an object with conditions of its own, or operators: `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`. Numbers
    have an order among numbers, and texts among texts; of two other values none is greater.

    Raises:
        InvalidError: another operator.
    """
    return all(_meets(_at(value, path), condition) for path, condition in conditions.items())


def _at(value: dict[str, Any], path: str) -> Any:
    if path in value:
        return value[path]
    found: Any = value
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def _meets(found: Any, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        if any(str(key).startswith("$") for key in condition):
            return all(_compares(found, operator, operand) for operator, operand in condition.items())
        return isinstance(found, dict) and all(_meets(found.get(key), inner) for key, inner in condition.items())
    if isinstance(condition, list | tuple):
        same = isinstance(found, list) and len(found) == len(condition)
        return same and all(map(_meets, found, condition))
    return bool(found == condition)


def _compares(found: Any, operator: str, operand: Any) -> bool:
    if operator == "$eq":
        return bool(found == operand)
    if operator == "$ne":
        return bool(found != operand)
    order = _ORDERS.get(operator)
    if order is None:
        raise InvalidError(f"{shown(operator)} is no operator of a filter: use $eq, $ne, $gt, $gte, $lt or $lte")
    alike = any(isinstance(found, kind) and isinstance(operand, kind) for kind in (str, int | float))
    return alike and order(found, operand)
