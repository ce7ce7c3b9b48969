"""An archive: the generations of a backup, in a folder or in a bucket, behind one interface."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["BUCKETS", "MOMENT", "REST_SECONDS", "SUFFIX", "Archive", "Generation", "parsed", "stamp"]

BUCKETS: Final = ("s3:", "gs:", "az:")
"""The beginnings of the URL of an archive in a bucket."""
MOMENT: Final = timedelta(microseconds=1)
SUFFIX: Final = ".db"
REST_SECONDS: Final = 86_400.0
"""Seconds after which an unfinished file of a killed call is removed."""

_FORMAT: Final = "%Y%m%dT%H%M%S.%fZ"


class Generation(NamedTuple):
    """One kept moment of a backup."""

    moment: datetime
    """It holds nothing newer, and everything that was acknowledged before its backup began."""
    name: str
    """Its SQLite file in the archive."""
    size: int
    """Bytes."""


class Archive(Protocol):
    """A folder or a prefix of a bucket with generations, each whole. Every method blocks."""

    def known(self) -> list[Generation]:
        """Return the generations, the newest first."""
        ...

    def part(self) -> AbstractContextManager[Path]:
        """Lend a path for an unfinished generation. It and its companions are removed at the end."""
        ...

    def write(self, part: Path, moment: datetime) -> Generation:
        """Add a finished file. A kill before the end adds nothing, and no other generation is changed.

        Raises:
            UnavailableError: no answer. It may have been added.
        """
        ...

    def read(self, one: Generation) -> AbstractContextManager[Path]:
        """Lend the path of a file with the content of a generation. Nobody may write to it.

        Raises:
            NotFoundError: it was removed.
            DamagedError: the content is not what was written.
        """
        ...

    def delete(self, old: Sequence[Generation]) -> None:
        """Remove generations, and the rests of killed calls. A missing one is fine."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def stamp(moment: datetime) -> str:
    """Return a moment as the name of a generation begins, in UTC."""
    return f"{moment.astimezone(UTC):{_FORMAT}}"


def parsed(text: str) -> datetime:
    """Return the moment of a stamp.

    Raises:
        ValueError: it is none.
    """
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
