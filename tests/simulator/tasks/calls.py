"""What workers ask for, and each time they asked for it: the judge holds what comes of it against this."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from stowfast.records import Lease, Retention
    from tests.simulator.tasks.model import Task

__all__ = ["Attempt", "Call", "Effect"]


@dataclass(slots=True, eq=False)
class Effect:
    """A change of a call that took effect."""

    at: int
    """The step."""
    before: Task | None
    after: Task | None
    position: int | None = None
    """Of the version that it saved."""


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class Call:
    """What a worker wants. No two have the same number, so no two saves have the same data."""

    verb: str
    name: str
    """The stream of the task; empty where it is any task."""
    number: int
    data: Any = None
    status: str = "working"
    expect: int | None = None
    incarnation: str = ""
    lease: Lease | None = None
    covers: tuple[str, ...] | None = None
    retention: Retention | None = None
    op_id: str | None = None
    owner: str = ""
    ttl: timedelta | None = None
    key: str = ""
    version: int | None = None
    keep: int | None = None
    older_than: timedelta | None = None
    idle: timedelta | None = None
    effects: list[Effect] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    refused: bool = False
    """Nothing may come of it any more."""

    def __repr__(self) -> str:
        given = {one.name: getattr(self, one.name) for one in fields(self)[3:-3]}
        said = [f"{name}={value!r}"[:90] for name, value in given.items() if value is not None and value != ""]
        return f"<{self.number}: {self.verb} {self.name} {', '.join(said)}>"

    @property
    def task_id(self) -> str:
        return self.name.partition("/")[2]

    @property
    def repeatable(self) -> bool:
        """Say whether a repeat after a lost answer does no harm."""
        if self.verb in {"save", "claim", "update"}:
            return self.op_id is not None
        return self.verb not in {"claim_next", "delete"}

    @property
    def where(self) -> Mapping[str, str]:
        return {"status": self.status} if self.verb == "claim_next" else {}


@dataclass(slots=True, eq=False)
class Attempt:
    """One time that it was asked for."""

    call: Call
    began: int
    seen: frozenset[int]
    """Results that this process has seen recorded."""
    committed: int | None = None
    """The step at which it first asked for a commit: what is recorded later, it can not know of."""
    clocks: list[int] = field(default_factory=list)
    """What the clock of the place showed."""
