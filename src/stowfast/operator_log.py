"""The logger `stowfast`: a few lines for whoever runs a program. No line holds content, an id or a secret.

Each line is an event, and has its facts as attributes of the record (`extra=`), so no program has to parse text:

| event | level | attributes |
|---|---|---|
| `opened` | INFO | `backend` (the scheme), `place` (file, bucket or schema, without credentials), `seconds` |
| `closed` | INFO | `commits`, `conflicts`, `repeats`, `waits` of this opening |
| `recovered` | WARNING | `log_bytes`: a process was killed, and its log is folded into the SQLite file |
| `repeated` | WARNING | `attempts`, `seconds`: a call without an answer was repeated, and has one now |
| `answer_lost` | WARNING | a PUT of a bucket had no answer; the head is read to see if it was stored |
| `swept` | INFO | `streams`, `blobs`, `bytes`, `entries`: a sweep removed them |
| `tombstones` | INFO | `removed`, `left`, `reason`: the end of those older than a week, in a bucket |
| `damaged` | ERROR | `kind` (such as `messages`): a stream does not decode. Once a stream and opening |
| `slow_commit` | WARNING | `seconds`, `slow_commits`: at most one line in ten seconds |
| `postponed` | INFO | `error`: maintenance of a bucket is left to the next commit or to a sweep |
| `maintenance_failed` | ERROR | `error`, `line`: a fault of Stowfast. No commit was harmed: report it |

Nothing is printed by default.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stowfast.abc import Swept

__all__ = ["LOGGER", "tell", "tell_repeat", "tell_swept"]

LOGGER: Final = logging.getLogger("stowfast")
LOGGER.addHandler(logging.NullHandler())


def tell(level: int, event: str, text: str, **facts: Any) -> None:
    """Log an event. No fact may hold content, an id or a secret."""
    LOGGER.log(level, text, extra={"event": event, **facts})


def tell_repeat(attempts: int, seconds: float) -> None:
    """Log that a call has its answer after repeats."""
    tell(
        logging.WARNING, "repeated", f"a call had its answer after {attempts} attempts",
        attempts=attempts, seconds=round(seconds, 3),
    )  # fmt: skip


def tell_swept(swept: Swept) -> None:
    """Log the amounts of a sweep, if any."""
    if any(swept):
        tell(logging.INFO, "swept", "a sweep removed data", **swept._asdict())
