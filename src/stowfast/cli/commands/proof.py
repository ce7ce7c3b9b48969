"""The commands to test a backend: check, doctor."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

import typer

from stowfast.cli.arguments import URL, Json
from stowfast.cli.doctor import look, print_finding
from stowfast.cli.terminal import Screen, emit, progress
from stowfast.cli.urls import opened, shown
from stowfast.errors import InvalidError
from stowfast.registry import find

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command(short_help="Test a backend against the contract.", epilog="Example: stowfast check sqlite:///agent.db")(
        check
    )
    app.command(
        short_help="Report the state of a backend.", epilog="Example: stowfast doctor s3://bucket/agents --race"
    )(doctor)
    app.command(
        short_help="Make or update the tables of a backend.",
        epilog="Example: stowfast migrate postgresql://host/db --sql --grant-to agents",
    )(migrate)


def check(url: URL, as_json: Json = False) -> int:
    """Test a backend against every clause of the contract, and report the kept and the broken ones.

    In place of a SQLite file a new one is tested, in a folder beside it, removed at the end; the file itself stays as
    it is. Elsewhere the test runs beside the data there, below a random prefix, and removes all its streams. A bucket
    keeps about 40 MB of contents for a day, and an object of some hundred bytes of each stream for good. The exit code
    is 1 when a clause fails.
    """
    from stowfast.cli import check as checks  # loads the whole conformance kit

    total = sum(len(clauses) for clauses, _ in checks.groups())
    with progress("checking", total) as advance:
        report = asyncio.run(checks.check(url, lambda name: advance(1, name.replace("_", " "))))
    if as_json:
        emit({"url": shown(url), **report.as_json()})
    else:
        checks.print_report(Screen(), shown(url), report)
    return 1 if report.failed else 0


def doctor(
    url: URL,
    race: Annotated[
        bool, typer.Option("--race", help="Also race many writers for one key of a bucket; takes seconds.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Open a backend and report the state of its file or bucket, line by line.

    A bucket is tested for conditional writes, on which every promise rests. The exit code is 1 when a finding is bad.
    For the whole contract run `stowfast check`.
    """
    show = (lambda _: None) if as_json else partial(print_finding, Screen())
    findings = asyncio.run(look(url, race=race, show=show))
    passed = all(finding.passed is not False for finding in findings)
    if as_json:
        emit({"url": shown(url), "passed": passed, "findings": [finding.as_json() for finding in findings]})
    return 0 if passed else 1


def migrate(
    url: URL,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements of PostgreSQL, and change nothing.")] = False,
    grant_to: Annotated[
        str | None, typer.Option(metavar="ROLE", help="With --sql: also print the grants of a role.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the tables of a backend, or bring older ones up to date.

    Opening does the same by itself, for a role with the right to create them. With --sql nothing is opened: an owner
    runs the printed statements, in one transaction, and the role of the application needs only the printed grants.
    """
    if not sql:
        if grant_to is not None:
            raise typer.BadParameter("--grant-to goes with --sql")
        asyncio.run(_open(url))
        if as_json:
            emit({"migrated": True})
        return
    backend, _, options = find(url)
    if backend.__name__ != "PostgresBackend":
        raise InvalidError("--sql is for PostgreSQL: the other backends have no statements to run by hand")
    from stowfast.backends.postgres.migration import script
    from stowfast.backends.postgres.options import check_schema

    schema = options.get("schema", "stowfast")
    check_schema(schema)
    text = script(schema, grant_to)
    if as_json:
        emit({"sql": text})
    else:
        print(text)


async def _open(url: str) -> None:
    async with opened(url):
        pass
