"""Arguments and options of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["URL", "Json", "Prefix", "Scopes", "readable"]

URL: TypeAlias = Annotated[str, typer.Argument(metavar="URL", help="The backend: sqlite:///agent.db, s3://bucket, ...")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Prefix: TypeAlias = Annotated[str, typer.Option(help="Only conversations whose id begins with this.")]
Scopes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="NAME", help="Inside this scope. Again for one in it: --scope a --scope b."),
]


def readable(path: Path | None) -> Path | None:
    """Refuse a folder, and a path without a file.

    A pipe is fine, as in `stowfast import URL <(zcat backup.jsonl.gz)`; so is a dash for stdin.
    """
    if path is None or str(path) == "-":
        return path
    if path.is_dir():
        raise typer.BadParameter(f"{str(path)!r} is a folder: name a file in it")
    if not path.exists():
        raise typer.BadParameter(f"there is no file {path}")
    return path
