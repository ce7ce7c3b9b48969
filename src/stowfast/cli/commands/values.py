"""The values of a command line that need no library: typer loads pydantic for each other one, a tenth of a second."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["convert_early"]

_DIGITS: Final = 18
_NOTHING: Final = object()


def convert_early(commands: Iterable[Any]) -> None:
    """Let the parameters of commands, also those of groups, take texts, numbers, choices and defaults themselves.

    Any other value, and each error, is typer's. A release of typer without this way to convert is left as it is.
    """
    for command in commands:
        command.get_params = _Params(command.get_params)  # the option --help is made at its first use
        convert_early(getattr(command, "commands", {}).values())


class _Params:
    def __init__(self, of_command: Callable[[Any], list[Any]]) -> None:
        self._of_command = of_command

    def __call__(self, ctx: Any) -> list[Any]:
        params = self._of_command(ctx)
        for param in params:
            of_typer = getattr(param, "get_runtime_param", None)
            if of_typer and hasattr(param, "type_descriptor") and not isinstance(of_typer, _Early):
                param.get_runtime_param = _Early(of_typer)
        return params


class _Early:
    def __init__(self, of_typer: Callable[[], Any]) -> None:
        self._of_typer = of_typer

    def __call__(self) -> _Early:
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return a value in the type of its parameter."""
        found = _converted(value, param)
        return self._of_typer().coerce(value, param=param, ctx=ctx) if found is _NOTHING else found


def _converted(value: Any, param: Any) -> Any:
    descriptor, info = param.type_descriptor, param.type_descriptor.parameter_info
    wanted = descriptor.annotation
    has_own = any(getattr(info, name, None) is not None for name in ("parser", "click_type"))
    if param.multiple and descriptor.annotation == list[str] and not has_own:
        return value or ()
    if has_own or param.multiple or param.nargs != 1:
        return _NOTHING
    if value is None:
        return None
    if not isinstance(wanted, type) or descriptor.is_path or descriptor.is_file:
        return _NOTHING
    if issubclass(wanted, StrEnum):
        return wanted(value) if isinstance(value, str) and value in list(wanted) else _NOTHING
    if wanted is str:
        return value if type(value) is str and not descriptor.is_choice else _NOTHING
    if wanted is int:
        return _number(value, info)
    return _NOTHING


def _number(value: Any, info: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _DIGITS:
        value = int(value)
    if type(value) is not int or (info.min is not None and value < info.min):
        return _NOTHING
    return _NOTHING if info.max is not None and value > info.max else value
