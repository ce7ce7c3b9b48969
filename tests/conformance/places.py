"""The backends below the tested stores: each gets a folder or a server, and makes openings of one backend."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import stowfast
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import Shared

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.testing import Make
    from tests.services.postgres import PostgresServer
    from tests.services.s3 import S3Server

# One prefix for all that is tried in this process: the store is tested once for each place that is opened.
PREFIX = uuid4().hex


def memory(_: Path) -> Make[stowfast.Stores]:
    place = MemoryBackend()
    return lambda: stowfast.Stores(Shared(place))


def sqlite(folder: Path) -> Make[stowfast.Stores]:
    return lambda: stowfast.open(f"sqlite:///{folder}/place.db")


def s3(server: S3Server) -> Make[stowfast.Stores]:
    return lambda: stowfast.open(server.url(PREFIX))


def postgres(server: PostgresServer) -> Make[stowfast.Stores]:
    return lambda: stowfast.open(server.url(f"t{PREFIX}"))


PLACES = [memory, sqlite]
