"""Moving: copy streams between places as they are, and verify the content of a place.

    copied = await moving.copy("sqlite:///agent.db", "s3://bucket/agents")

A copy keeps positions, times, incarnations, op_ids and versions, so cursors, `expect=` values and links to versions
stay right. It is resumed by calling it again: there is no state file.
"""

from __future__ import annotations

from stowfast.moving.archive import Generation
from stowfast.moving.archiving import add_generation, generation_at, generations, opened_generation
from stowfast.moving.backups import backup, restore
from stowfast.moving.copying import copy
from stowfast.moving.cutover import move
from stowfast.moving.erasing import Erased, erase
from stowfast.moving.exporting import export
from stowfast.moving.measures import Statistics, Usage, measure, statistics
from stowfast.moving.removal import find, remove
from stowfast.moving.results import Copied, Difference, Verified
from stowfast.moving.selection import EVERYTHING, Selection
from stowfast.moving.transition import MovingBackend
from stowfast.moving.verifying import verify

__all__ = [
    "EVERYTHING",
    "Copied",
    "Difference",
    "Erased",
    "Generation",
    "MovingBackend",
    "Selection",
    "Statistics",
    "Usage",
    "Verified",
    "add_generation",
    "backup",
    "copy",
    "erase",
    "export",
    "find",
    "generation_at",
    "generations",
    "measure",
    "move",
    "opened_generation",
    "remove",
    "restore",
    "statistics",
    "verify",
]
