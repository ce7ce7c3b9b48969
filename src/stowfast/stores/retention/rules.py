"""The rules of retention of a backend: one stream, whose head note holds all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Query
from stowfast.errors import ConflictError, DamagedError, InvalidError, UnsupportedError, shown
from stowfast.names import check_name, check_text, is_one_of
from stowfast.records import DueRemoval, Retention, RetentionRule
from stowfast.scopes import ScopedBackend
from stowfast.stores.codec import check_integers, decode, encode_head, from_duration, stream_name
from stowfast.stores.labels import beside_own, wanted_labels
from stowfast.stores.optimistic import Race
from stowfast.stores.retention.artifacts import trim_artifact
from stowfast.stores.retention.bounds import Bounds, Trim
from stowfast.stores.retention.conversations import trim_conversation
from stowfast.stores.retention.tasks import trim_task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from stowfast.abc import Backend, Head

__all__ = ["Rules"]

_STREAM: Final = "retention/rules"
_PAGE: Final = 200
_TRIMS: Final[Mapping[str, Trim]] = {
    "messages": trim_conversation,
    "artifacts": trim_artifact,
    "tasks": trim_task,
}
_BOUNDS: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": ("age", "count", "bytes"),
    "artifacts": ("age", "versions", "bytes"),
    "tasks": ("age", "versions"),
}
"""The bounds of each kind."""


class Rules:
    """The rules of retention: kept in the backend, and carried out by `stores.sweep` of any process.

    A rule removes messages and versions outside its bounds from the old end, and a stream without a change for `age`
    as a whole. A message added meanwhile stays, a tool call stays with its result, and a task with a lease is
    never removed. No rule, no removal. Where several rules select a stream, each of them holds.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def set(
        self,
        kind: str,
        retention: Retention,
        *,
        prefix: str = "",
        where: Mapping[str, Any] | None = None,
        scope: str | None = None,
    ) -> None:
        """Store a rule, in the place of one with the same kind, prefix, metadata and scope.

        Nothing is removed before the next sweep: `due` tells the removals.

        Args:
            kind: `messages`, `artifacts` or `tasks`.
            retention: for messages `age`, `count` and `bytes`; for artifacts `age`, `versions` and `bytes`; for tasks
                `age` and `versions`. A task's own retention goes before these two for its versions. The newest message
                and the newest version stay under every bound but `age`.
            prefix: only ids that begin with this.
            where: only with these metadata: text of at most 500 bytes, numbers, booleans or None.
            scope: only inside this scope.

        Raises:
            InvalidError: the kind is unknown, the retention has no bound or one of another kind, or an argument
                is out of bounds; or all rules together have over 64 KiB. Nothing was stored.
            UnsupportedError: these are the stores of a scope. Give `scope=` to the rules of the stores around it.
            UnavailableError: it may be stored. Repeat the call.
        """
        rule = RetentionRule(kind, retention, prefix, where, scope)
        _check(rule)
        await self._change(lambda rules: [*(one for one in rules if _target(one) != _target(rule)), rule])

    async def list(self) -> list[RetentionRule]:
        """Return the rules, in the order in which they were set."""
        (head,) = await self._backend.heads([_STREAM])
        return _read(head)

    async def remove(
        self, kind: str, *, prefix: str = "", where: Mapping[str, Any] | None = None, scope: str | None = None
    ) -> bool:
        """Remove the rule with this kind, prefix, metadata and scope. Return False if there is none.

        Raises:
            InvalidError: the kind is unknown, or an argument is out of bounds.
            UnavailableError: it may be removed. Repeat the call.
        """
        rule = RetentionRule(kind, Retention(), prefix, where, scope)
        _check_target(rule)
        target = _target(rule)
        return await self._change(lambda rules: [one for one in rules if _target(one) != target])

    async def due(self) -> AsyncGenerator[DueRemoval, None]:
        """Yield the parts of streams that the next sweep would remove by the rules. Nothing is changed."""
        async for removal in self.carry_out(dry_run=True):
            yield removal

    async def carry_out(self, *, dry_run: bool = False) -> AsyncGenerator[DueRemoval, None]:
        """Remove everything outside the rules, one stream at a time, and yield each removal.

        A stream with a change at the same moment, or with damage, is left to the next call. After an error call it
        again.

        Args:
            dry_run: only yield. Nothing is removed.
        """
        for rule in await self.list():
            backend = self._backend if rule.scope is None else ScopedBackend(self._backend, rule.scope)
            bounds = _bounds(rule.retention, await backend.now())
            async for head in _selected(backend, rule):
                try:
                    found = await _TRIMS[rule.kind](backend, head, bounds, dry_run=dry_run)
                except (ConflictError, DamagedError):
                    continue
                if found is not None:
                    yield DueRemoval(rule, head.name.partition("/")[2], *found)

    async def _change(self, change: Any) -> bool:
        if isinstance(self._backend, ScopedBackend):
            raise UnsupportedError("a scope has no rules: give scope= to the rules of the stores that it was made from")
        race = Race("the rules of retention")
        while True:
            (head,) = await self._backend.heads([_STREAM])
            known = _read(head)
            rules = change(known)
            if rules == known:
                return False
            made = Change(delete=True) if not rules else Change(note=_written(rules))
            held = made._replace(
                revision=head.revision if head else 0, incarnation=head.incarnation if head else None, expect=0
            )
            if await race.commit(self._backend, _STREAM, held) is not None:
                return True


async def _selected(backend: Backend, rule: RetentionRule) -> AsyncGenerator[Head, None]:
    labels = wanted_labels(rule.where)
    labels = labels if rule.kind == "messages" else beside_own(labels)
    after = None
    while True:
        query = Query(f"{rule.kind}/{rule.prefix}", where=labels, after=after, limit=_PAGE, heads=True)
        page = await backend.streams(query)
        for one in page.streams:
            if one.head is not None:
                yield one.head
        after = page.after
        if after is None:
            return


def _bounds(retention: Retention, now: int) -> Bounds:
    age = None if retention.age is None else from_duration(retention.age, "age")
    since = None if age is None else now - age
    return Bounds(now, since, age, retention.versions, retention.count, retention.bytes)


def _check(rule: RetentionRule) -> None:
    """Check a rule.

    Raises:
        InvalidError: it means nothing.
    """
    _check_target(rule)
    if not isinstance(rule.retention, Retention):
        raise InvalidError(f"retention must be a stowfast.Retention, not {type(rule.retention).__name__}")
    given = {name for name in ("age", "versions", "count", "bytes") if getattr(rule.retention, name) is not None}
    if not given:
        raise InvalidError("a retention without a bound keeps everything: give a bound, or remove the rule")
    if wrong := given - set(_BOUNDS[rule.kind]):
        raise InvalidError(f"{rule.kind} have the bounds {', '.join(_BOUNDS[rule.kind])}, not {min(wrong)}")
    if rule.retention.age is not None:
        from_duration(rule.retention.age, "age")
    for name in given - {"age"}:
        number = getattr(rule.retention, name)
        check_integers(**{name: number})
        if number < 1:
            raise InvalidError(f"Retention({name}={number}): the newest always stays, so 1 or more")


def _check_target(rule: RetentionRule) -> None:
    """Check the streams of a rule.

    Raises:
        InvalidError: nothing can be one of them.
    """
    if not is_one_of(rule.kind, tuple(_BOUNDS)):
        raise InvalidError(f"kind={shown(rule.kind)}: a rule is for messages, artifacts or tasks")
    check_text(rule.prefix, "prefix")
    if rule.prefix:
        stream_name(rule.kind, "prefix", rule.prefix)
    wanted_labels(rule.where)
    if rule.scope is not None:
        check_name(rule.scope, "the name of a scope")


def _target(rule: RetentionRule) -> tuple[object, ...]:
    return rule.kind, rule.prefix, rule.where or None, rule.scope


def _written(rules: list[RetentionRule]) -> bytes:
    return encode_head([_record(rule) for rule in rules], "the rules of retention")


def _record(rule: RetentionRule) -> dict[str, Any]:
    kept, age = rule.retention, rule.retention.age
    bounds = {"versions": kept.versions, "count": kept.count, "bytes": kept.bytes}
    bounds["age"] = None if age is None else from_duration(age, "age")
    target = {"kind": rule.kind, "prefix": rule.prefix, "where": rule.where, "scope": rule.scope}
    return {**target, **{name: bound for name, bound in bounds.items() if bound is not None}}


def _read(head: Head | None) -> list[RetentionRule]:
    """Return the rules of a note.

    Raises:
        DamagedError: it holds something else. Nothing is removed then.
    """
    rules: list[RetentionRule] = []
    records = [] if head is None else decode(head.note, _STREAM)
    for record in records if isinstance(records, list) else [records]:
        try:
            kept = {name: record[name] for name in ("versions", "count", "bytes") if name in record}
            age = timedelta(microseconds=record["age"]) if "age" in record else None
            target = (record["prefix"], record["where"], record["scope"])
            rule = RetentionRule(record["kind"], Retention(**kept, age=age), *target)
            _check(rule)
        except (AttributeError, KeyError, TypeError, OverflowError, InvalidError) as error:
            raise DamagedError(
                f"{_STREAM}: this is no rule of retention: remove all with stowfast rm --kind retention"
            ) from error
        rules.append(rule)
    return rules
