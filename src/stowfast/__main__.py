"""Runs the command line: `python -m stowfast`."""

from __future__ import annotations

from stowfast.cli.main import main

if __name__ == "__main__":
    main()
