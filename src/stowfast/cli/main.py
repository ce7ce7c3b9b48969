"""The entry of the command `stowfast`. Every error becomes one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from stowfast.errors import StowfastError

__all__ = ["main"]

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as a shell says it."""
READER_LEFT: Final = 141
"""128 and the number of SIGPIPE, as after `stowfast export URL | head`."""


def main() -> None:
    """Run the command line, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code: 0, 1 for a failure, 2 for an invalid call."""
    try:
        import typer

        from stowfast.cli.commands import root
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich", "click"}:
            raise
        print("the stowfast command needs typer and rich: pip install 'stowfast[cli]'", file=sys.stderr)
        return FAILED
    from stowfast.cli.urls import scrub

    # Typer may bring a click of its own or use the one beside it; this is the class of either.
    usage_error: type[Any] = typer.BadParameter.__mro__[1]
    code, line = FAILED, ""
    try:
        code = int(root.app(arguments, prog_name="stowfast", standalone_mode=False) or 0)
        sys.stdout.flush()
    except usage_error as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "stowfast"
        text = error.format_message().strip()
        code, line = USAGE, f"{' '.join(text.split()).rstrip('.')} (see {path} --help)"
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except StowfastError as error:
        line = str(error)
    except (BrokenPipeError, SystemExit) as error:
        # Typer and rich make a SystemExit of a pipe that broke.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        # The reader of our output has left. Python would report it once more in its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READER_LEFT
    except OSError as error:
        line = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if code == INTERRUPTED:
        line = "interrupted: acknowledged writes are kept"
    if line:
        print(f"stowfast: {scrub(' '.join(line.split()), arguments)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
