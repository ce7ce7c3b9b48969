"""The application. A command is imported when it is called or listed, so a short one does not wait for the others."""

from __future__ import annotations

import importlib
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

import stowfast
from stowfast.cli.commands.values import convert_early

__all__ = ["app"]

_COMMANDS: Final = {
    "demo": "demonstration",
    "ls": "reading",
    "show": "reading",
    "import": "lines",
    "export": "lines",
    "import-from": "importing",
    "copy": "moving",
    "verify": "moving",
    "backup": "backups",
    "restore": "backups",
    "rm": "care",
    "compact": "care",
    "du": "care",
    "stats": "care",
    "health": "care",
    "erase": "erasure",
    "retention": "retention",
    "get": "artifacts",
    "put": "artifacts",
    "gc": "artifacts",
    "check": "proof",
    "doctor": "proof",
    "migrate": "proof",
    "view": "viewing",
    "tasks": "tasks",
}
"""Each command, and the module that registers it."""


class Commands(TyperGroup):
    """The commands, each imported with its module at the first use."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        convert_early([self])

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return list(_COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the named command. For an unknown name all are imported, so that the error names a similar one."""
        if args and args[0] not in _COMMANDS:
            for name in _COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None for an unknown name."""
        if cmd_name not in self.commands and cmd_name in _COMMANDS:
            module = typer.Typer(rich_markup_mode=None)
            importlib.import_module(f"{__package__}.{_COMMANDS[cmd_name]}").register(module)
            added = get_group(module).commands
            convert_early(added.values())
            self.commands.update(added)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    cls=Commands,
    pretty_exceptions_enable=False,  # they would print every variable, and a URL may hold a password
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Read, move and test the messages, artifacts and task states of AI agents.

    A URL names the backend, as in stowfast.open(URL).
    """
    if version:
        print(f"stowfast {stowfast.__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
