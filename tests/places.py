"""The places that the stores are tried over: each given a folder, each a maker of openings of the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import holdfast
from holdfast.backends.memory import MemoryBackend
from holdfast.testing import Shared

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.testing import Make


def memory(_: Path) -> Make[holdfast.Stores]:
    place = MemoryBackend()
    return lambda: holdfast.Stores(Shared(place))


def sqlite(folder: Path) -> Make[holdfast.Stores]:
    return lambda: holdfast.open(f"sqlite:///{folder}/place.db")


PLACES = [memory, sqlite]
