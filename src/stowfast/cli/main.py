"""The entry of the command `stowfast`. Every error becomes one line on stderr and an exit code."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import stowfast
from stowfast.errors import StowfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["main"]

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as a shell says it."""
READER_LEFT: Final = 141
"""128 and the number of SIGPIPE, as after `stowfast export URL | head`."""

_HINTS: Final = {
    "No such command 'version'": "did you mean stowfast --version?",
    "No such command 'help'": "did you mean stowfast --help?",
    r"No such command '[a-z0-9]+:": "a URL stands behind a command, as in stowfast ls URL, or stowfast tasks ls URL",
    "No such option: [^(]*$": "an id or a file that begins with a dash stands after --",
}


def main() -> None:
    """Run the command line, and exit."""
    if sys.getfilesystemencoding() == "ascii" and not "".join(sys.argv).isascii():
        # An id with an accent would come as bytes that a locale of ASCII cannot name. UTF-8 names them all.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this very command
    # Both are told to clean up in the same way: a command that was terminated leaves no more than one that was stopped.
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(*_: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a shell ignores it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code: 0, 1 for a failure, 2 for an invalid call."""
    if arguments == ["--version"]:  # needs no library
        print(f"stowfast {stowfast.__version__}")
        return 0
    try:
        import typer

        from stowfast.cli.commands import root
        from stowfast.cli.terminal import complain, plain, prepare
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich", "click"}:
            raise
        print("the stowfast command needs typer and rich: pip install 'stowfast[cli]'", file=sys.stderr)
        return FAILED
    from stowfast.cli.urls import scrub

    prepare()
    # Typer may bring a click of its own or use the one beside it; this is the class of either.
    usage_error: type[Any] = typer.BadParameter.__mro__[1]
    code, line = FAILED, ""
    try:
        with _told_in_lines(lambda text: complain(f"stowfast: {scrub(text, arguments)}")):
            code = int(root.app(arguments, prog_name="stowfast", standalone_mode=False) or 0)
        sys.stdout.flush()
    except usage_error as error:
        code, line = USAGE, _usage(error)
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
    except Exception:  # noqa: BLE001 - a fault of ours: its traceback may hold foreign text, too
        print(plain(scrub(traceback.format_exc(), arguments)), file=sys.stderr, end="")
        line = "this is a fault of stowfast: please report it with the lines above"
    if code == INTERRUPTED:  # Typer returns it itself, or raises
        line = "interrupted: acknowledged writes are kept"
    if line:
        complain(f"stowfast: {scrub(line, arguments)}")
    return code


def _usage(error: Any) -> str:
    text = " ".join(error.format_message().split()).removesuffix(".")
    context = getattr(error, "ctx", None)
    hint = next((f": {hint}" for begin, hint in _HINTS.items() if re.match(begin, text)), "")
    if hint:  # it knows more than the similarity of words does
        text = text.partition(". Did you mean")[0]
    return f"{text}{hint} (see {context.command_path if context else 'stowfast'} --help)"


@contextmanager
def _told_in_lines(say: Callable[[str], None]) -> Iterator[None]:
    """Pass each warning, and each record of a log from the level of a warning on, to `say` as a line."""

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if hasattr(record, "event"):  # of the logger `stowfast`: the command says the same, or need not
                return
            error = record.exc_info[1] if record.exc_info else None
            say(record.getMessage() + ("" if error is None else f": {type(error).__name__}: {error}"))

    handler = Told(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: say(str(message))
            yield
    finally:
        logging.getLogger().removeHandler(handler)


if __name__ == "__main__":
    main()
