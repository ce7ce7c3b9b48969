"""The options of a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stowfast.errors import InvalidError
from stowfast.names import check_name, check_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RENAMED", "SourceOptions"]

RENAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "agno": ("agno_sessions", "agno_runs"),
    "langchain": ("message_store",),
    "openai-agents": ("agent_messages",),
}
"""The tables to which a library gives another name if it is told one."""
_ENCRYPTED: Final = "openai-agents"


@dataclass(frozen=True)
class SourceOptions:
    """The options of one source."""

    tables: dict[str, str] = field(default_factory=dict)
    """The names of tables, by those that the library gives them."""
    key: str | None = field(default=None, repr=False)
    keep_encrypted: bool = False

    def check(self, kind: str) -> None:
        """Check that a kind has these options.

        Raises:
            InvalidError: it has not, or the name of a table is none.
        """
        if type(self.tables) is not dict:  # another mapping may run code of its own
            raise InvalidError(f"tables must be a dict of names, not {type(self.tables).__name__}")
        for name, given in self.tables.items():
            check_text(name, "the name of a table")
            if name not in (known := RENAMED.get(kind, ())):
                of = f"they are {', '.join(known)}" if known else "it has none"
                raise InvalidError(f"tables: {name!r} is no table of {kind} with a name of choice: {of}")
            check_name(given, f"the name of the table {name}")
        if self.key is not None:
            check_text(self.key, "key")
        if (self.key is not None or self.keep_encrypted) and kind != _ENCRYPTED:
            raise InvalidError(
                f"key and keep_encrypted are for {_ENCRYPTED}: {kind} has no items that are encrypted so"
            )
        if self.key is not None and self.keep_encrypted:
            raise InvalidError("a key decrypts items, keep_encrypted leaves them encrypted: give one of the two")
