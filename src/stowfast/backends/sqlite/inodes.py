"""The inode and the size of a file, read without a look at its times.

Since Linux 6.13 the write after a look at the times of a file stores a time exact to the nanosecond, and the next fsync
waits for it. With `stat` of the log after each commit, a commit on ext4 took 140 us instead of 100. `statx` can leave
the times out.

Sources: https://docs.kernel.org/filesystems/multigrain-ts.html, https://man7.org/linux/man-pages/man2/statx.2.html.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FileSize", "file_size"]

_AT_FDCWD: Final = -100
_INODE_AND_SIZE: Final = 0x100 | 0x200
_Result: Final = ctypes.c_char * 256
_INODE_AT: Final = 32
_read: Final = struct.Struct("=QQ").unpack_from


class FileSize(NamedTuple):
    """A file by its inode, and its bytes."""

    inode: int
    bytes: int


def file_size(path: bytes) -> FileSize:
    """Return the inode and the size of a file.

    Raises:
        OSError: as `os.stat`.
    """
    if _statx is not None:
        result = _Result()
        if _statx(_AT_FDCWD, path, 0, _INODE_AND_SIZE, result) == 0:
            return FileSize(*_read(result, _INODE_AT))
    found = os.stat(path)  # no statx here, or it is forbidden; or there is no such file, and this says so
    return FileSize(found.st_ino, found.st_size)


def _find_statx() -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None), "statx", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
        function.restype = ctypes.c_int
    return function


_statx: Final = _find_statx()
