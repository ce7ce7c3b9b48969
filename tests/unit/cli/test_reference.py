"""docs/reference/cli.md shows the `--help` of each command as it is."""

from __future__ import annotations

from release.cli_reference import HEADING, PAGE, commands, with_help


def test_the_page_is_written_anew_whenever_a_help_changes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_help(page) == page, "run: python -m release.cli_reference"


def test_every_command_has_its_heading() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {match[2] for match in HEADING.finditer(page)} == commands()
