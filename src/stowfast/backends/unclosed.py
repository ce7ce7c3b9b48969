"""The warning about an open backend without an owner."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_unclosed"]


def warn_unclosed(name: str, *, closed: bool) -> None:
    """Warn of a backend without a close. Its finalizer calls this: threads and descriptors go with the object."""
    # Without `source`: a recorded warning would keep the backend, with its threads and descriptors.
    if not closed and not sys.is_finalizing():
        message = f"{name} was opened and never closed: use `async with`, `with`, or close()"
        warnings.warn(message, ResourceWarning, stacklevel=2)
