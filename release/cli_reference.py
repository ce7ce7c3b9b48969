"""Writes the `--help` of each command below its heading in docs/reference/cli.md: `python -m release.cli_reference`."""

from __future__ import annotations

import re
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from release.lock import ROOT
from stowfast.cli.commands.root import app

PAGE = ROOT / "docs" / "reference" / "cli.md"
HEADING = re.compile(r"^(#{2,3} (stowfast [a-z -]+)\n\n)(?:```text\nUsage: .*?^```\n\n)?", re.MULTILINE | re.DOTALL)


def with_help(page: str) -> str:
    """Return the page with the help of each command as it is now."""
    return HEADING.sub(lambda match: f"{match[1]}```text\n{_help(match[2])}```\n\n", page)


def _help(command: str) -> str:
    arguments = [*command.split()[1:], "--help"]
    done = CliRunner().invoke(app, arguments, prog_name="stowfast", env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert done.exit_code == 0, f"{command}: no such command"
    return re.sub(r" +$", "", done.output, flags=re.MULTILINE)


def commands() -> set[str]:
    """Return every command that there is, as it is typed."""
    group: Any = get_command(app)
    found: set[str] = set()
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        found |= {f"stowfast {name}", *(f"stowfast {name} {below}" for below in getattr(command, "commands", ()))}
    return found


if __name__ == "__main__":
    PAGE.write_text(with_help(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
