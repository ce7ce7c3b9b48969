"""The places that the stores are tried over: each given a folder or a server, each a maker of openings of one place."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import holdfast
from holdfast.backends.memory import MemoryBackend
from holdfast.testing import Shared

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.testing import Make
    from tests.services.s3 import S3Server

# One prefix for all that is tried in this process: the store is tested once for each place that is opened.
PREFIX = uuid4().hex


def memory(_: Path) -> Make[holdfast.Stores]:
    place = MemoryBackend()
    return lambda: holdfast.Stores(Shared(place))


def sqlite(folder: Path) -> Make[holdfast.Stores]:
    return lambda: holdfast.open(f"sqlite:///{folder}/place.db")


def s3(server: S3Server) -> Make[holdfast.Stores]:
    return lambda: holdfast.open(server.url(PREFIX))


PLACES = [memory, sqlite]
