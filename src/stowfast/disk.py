"""The disk below a file: the names of its folder, and the room that is left."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["free_bytes", "sync_folder"]


def free_bytes(folder: str | os.PathLike[str]) -> int:
    """Return the bytes of a disk that this process may still use."""
    if hasattr(os, "statvfs"):
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize
    import shutil  # it loads each compressor of Python, and an opening takes longer for them than for its file

    return shutil.disk_usage(folder).free


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
