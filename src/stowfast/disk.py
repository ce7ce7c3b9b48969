"""The disk below a file: the names of its folder."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["sync_folder"]


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Keep the names of a folder through a power cut: else a renamed file may be lost with its new name.

    Where a system cannot do that for a folder, as Windows, nothing is done.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
