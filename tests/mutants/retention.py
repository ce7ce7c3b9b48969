"""Broken retention: rules that remove too much, too little, at the wrong moment, or that are forgotten."""

from __future__ import annotations

from stowfast import Retention, Rules, Stores
from stowfast.abc import Change, Query
from stowfast.records import DueRemoval, RetentionRule
from stowfast.stores.tasks import head_note
from stowfast.testing import retention as clauses
from stowfast.testing import rules
from stowfast.wrappers import Wrapper
from tests.mutants import breaks
from tests.mutants.stores import Alters


def ruled(kind: type[Rules]) -> type[Stores]:
    """Make stores with broken rules."""

    class WithRules(Stores):
        def __init__(self, backend, **options):
            super().__init__(backend, **options)
            self.rules = kind(backend)

    WithRules.__name__, WithRules.__module__ = kind.__name__, kind.__module__
    return WithRules


@breaks(
    clauses.a_rule_keeps_the_newest_messages,
    clauses.a_rule_cuts_no_call_from_its_result,
    clauses.a_rule_removes_the_old,
    clauses.a_rule_removes_old_versions,
)
class DropsOneMore(Alters):
    def altered(self, change):
        return change if change.drop_before is None else change._replace(drop_before=change.drop_before + 1)


@breaks(clauses.a_rule_keeps_the_newest_messages)
class DropsOneLess(Alters):
    def altered(self, change):
        return change if change.drop_before is None else change._replace(drop_before=change.drop_before - 1)


@breaks(clauses.a_rule_keeps_the_newest_messages, clauses.a_rule_removes_old_versions)
class MovesToTheTop(Alters):
    def altered(self, change):
        return change._replace(quiet=False)


@breaks(clauses.a_rule_keeps_the_newest_messages)
class LosesTheSummary(Alters):
    def altered(self, change):
        return change if change.drop_before is None else change._replace(note=b'{"metadata":{},"summary":null}')


@breaks(clauses.a_rule_keeps_the_newest_messages, rules.rules_are_kept_in_the_backend)
@ruled
class MindsNoTarget(Rules):
    async def set(self, kind, retention, **_):
        await super().set(kind, retention)


@breaks(clauses.a_rule_cuts_no_call_from_its_result)
@ruled
class CountsMessagesAlone(Rules):
    async def carry_out(self, *, dry_run=False):
        for rule in await self.list():
            page = await self._backend.streams(Query(f"messages/{rule.prefix}", heads=True))
            for one in page.streams:
                assert one.head is not None
                assert rule.retention.count is not None
                low = one.head.next - rule.retention.count
                await self._backend.commit(one.name, Change(drop_before=low))
                yield DueRemoval(rule, one.name.removeprefix("messages/"), 1, False)


@breaks(clauses.a_rule_removes_the_old)
class RemovesNothingWhole(Wrapper):
    async def commit(self, stream, change):
        rules = stream.startswith("retention/")
        return await super().commit(stream, change if rules else change._replace(delete=False))


@breaks(clauses.a_rule_removes_the_old)
@ruled
class AgesByTheDay(Rules):
    async def set(self, kind, retention, **target):
        await super().set(kind, Retention(age=24 * retention.age), **target)


@breaks(clauses.a_task_with_a_lease_is_not_removed)
class SeesNoLease(Wrapper):
    async def streams(self, query):
        page = await super().streams(query)
        bare = [
            one._replace(head=one.head._replace(note=head_note.TaskNote().write()))
            if one.head and one.name.startswith("tasks/")
            else one
            for one in page.streams
        ]
        return page._replace(streams=bare)


@breaks(clauses.a_change_during_a_sweep_stays)
class LooksAtNoChange(Alters):
    def altered(self, change):
        return change._replace(expect=None, revision=None) if change.delete else change


@breaks(clauses.a_change_during_a_sweep_stays)
class DropsAllThatIsThere(Alters):
    def altered(self, change):
        return change if change.drop_before is None else change._replace(drop_before=10**6, revision=None)


@breaks(rules.a_dry_run_removes_nothing)
@ruled
class RemovesInADryRun(Rules):
    def carry_out(self, *, dry_run=False):
        return super().carry_out()


@breaks(rules.a_dry_run_removes_nothing)
class SweepsWithoutRules(Stores):
    async def sweep(self, *, dry_run=False):
        return await self.backend.sweep(dry_run=dry_run)


@breaks(rules.rules_are_kept_in_the_backend)
@ruled
class AddsEachRule(Rules):
    async def set(self, kind, retention, **target):
        made = RetentionRule(kind, retention, **target)
        await self._change(lambda rules: [*rules, made])


@breaks(rules.rules_are_kept_in_the_backend)
@ruled
class KeepsRulesToItself(Rules):
    def __init__(self, backend):
        super().__init__(backend)
        self._own = []

    async def set(self, kind, retention, **target):
        await super().set(kind, retention, **target)
        self._own.append(RetentionRule(kind, retention, **target))

    async def list(self):
        return self._own


@breaks(rules.a_rule_without_sense_is_refused)
@ruled
class StoresAnyRule(Rules):
    async def set(self, kind, retention, **target):
        if kind == "messages" and isinstance(retention, Retention) and retention.count == 0:
            return
        await super().set(kind, retention, **target)
