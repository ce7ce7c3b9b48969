"""Broken stores, one or more for every clause. Here are faults of all three; the folders have the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stowfast import Artifacts, ConflictError, Documents, Messages, Stores, Tasks
from stowfast.abc import KEEP, Backend, Change, Receipt, Swept
from stowfast.testing.artifacts import content, versions, writers
from stowfast.testing.artifacts import laws as artifacts_laws
from stowfast.testing.backend import heads, idempotency, incarnations, log, names
from stowfast.testing.messages import adding, compaction, contexts, deletion, recency
from stowfast.testing.messages import laws as messages_laws
from stowfast.testing.tasks import laws as tasks_laws
from stowfast.testing.tasks import saving
from stowfast.wrappers import Wrapper
from tests.mutants import breaks

if TYPE_CHECKING:
    from collections.abc import Callable


def broken(mutant: Any) -> type[Stores]:
    """Return stores with one of their parts, or the backend below them, replaced by a broken one."""

    class Broken(Stores):
        def __init__(self, backend: Backend) -> None:
            super().__init__(mutant(backend) if issubclass(mutant, Backend) else backend)
            kinds = {"messages": Messages, "artifacts": Artifacts, "tasks": Tasks, "documents": Documents}
            for part, kind in kinds.items():
                if issubclass(mutant, kind):
                    setattr(self, part, mutant(backend))

    return mutant if issubclass(mutant, Stores) else Broken


def part(name: str) -> Callable[[type], type[Tasks]]:
    """Make broken tasks from a broken part, by the attribute of the part."""

    def made(kind: type) -> type[Tasks]:
        class WithPart(Tasks):
            def __init__(self, backend: Backend, **options: Any) -> None:
                super().__init__(backend, **options)
                getattr(self, name).__class__ = kind

        WithPart.__name__, WithPart.__module__ = kind.__name__, kind.__module__
        return WithPart

    return made


class Alters(Wrapper):
    def altered(self, change: Change) -> Change:
        raise NotImplementedError

    async def commit(self, stream: str, change: Change) -> Receipt:
        return await super().commit(stream, self.altered(change))


@breaks(
    adding.a_repeated_op_id_adds_no_message,
    messages_laws.LAWS["a_lost_answer_doubles_no_message"],
    deletion.a_stalled_writer_brings_nothing_back,
    messages_laws.LAWS["a_repeated_fork_forks_nothing"],
    artifacts_laws.LAWS["a_repeated_op_id_makes_no_version"],
    writers.a_writer_that_was_repeated_is_one_version,
    tasks_laws.LAWS["a_repeated_op_id_saves_nothing"],
)
class ForgetsOpIds(Alters):
    def altered(self, change):
        return change._replace(op_id=None)


@breaks(
    log.an_expected_position_must_be_the_next,
    heads.a_condition_that_fails_stores_nothing,
    idempotency.a_repeated_beginning_may_have_grown,
    adding.an_expected_position_is_held_to,
    messages_laws.LAWS["of_racers_that_expect_the_same_one_wins"],
    deletion.a_stalled_writer_brings_nothing_back,
    content.an_artifact_that_exists_is_not_created_again,
    versions.an_update_follows_the_version_it_expects,
    writers.a_writer_follows_the_version_it_expects,
    writers.writers_at_once_never_overwrite_one_another,
    saving.a_save_replaces_the_version_it_expects,
    tasks_laws.LAWS["of_racing_saves_that_expect_the_same_one_wins"],
)
class IgnoresExpect(Alters):
    def altered(self, change):
        return change._replace(expect=None)


@breaks(
    adding.an_expected_position_is_held_to,
    versions.an_update_follows_the_version_it_expects,
    writers.a_writer_follows_the_version_it_expects,
    log.an_expected_position_must_be_the_next,
)
class HidesTheCurrent(Wrapper):
    async def commit(self, stream, change):
        try:
            return await super().commit(stream, change)
        except ConflictError as error:
            raise ConflictError(str(error)) from error


@breaks(
    messages_laws.LAWS["of_racers_that_expect_the_same_one_wins"],
    contexts.a_fork_needs_a_source_and_a_free_id,
    content.an_artifact_that_exists_is_not_created_again,
    versions.an_update_follows_the_version_it_expects,
    writers.writers_at_once_never_overwrite_one_another,
    tasks_laws.LAWS["of_racing_saves_that_expect_the_same_one_wins"],
)
class LooksAndThenWrites(Wrapper):
    async def commit(self, stream, change):
        (head,) = await self.heads([stream])
        if change.expect is not None and change.expect != (head.next if head else 0):
            raise ConflictError("somebody else was first", current=head.next if head else 0)
        await asyncio.sleep(0)
        return await super().commit(stream, change._replace(expect=None, revision=None))


@breaks(
    compaction.a_compaction_never_reaches_a_successor,
    versions.what_was_deleted_is_not_updated,
    saving.a_deleted_task_leaves_nothing,
)
class MixesLives(Alters):
    def altered(self, change):
        return change._replace(incarnation=None, revision=None)


@breaks(
    deletion.a_deleted_conversation_leaves_nothing,
    content.a_deleted_artifact_leaves_nothing,
    saving.a_deleted_task_leaves_nothing,
)
class CutsInsteadOfDeleting(Alters):
    def altered(self, change):
        return change._replace(delete=False, cut_from=0) if change.delete else change


@breaks(deletion.a_ttl_moves_with_each_message)
class KeepsTheFirstTtl(Wrapper):
    async def commit(self, stream, change):
        (head,) = await self.heads([stream])
        return await super().commit(stream, change._replace(ttl=None) if head and change.ttl else change)


@breaks(deletion.a_ttl_moves_with_each_message)
class EveryMessageMovesTheExpiry(Wrapper):
    async def commit(self, stream, change):
        (head,) = await self.heads([stream])
        moves = change.entries and change.ttl is None and head and head.expires_at is not None
        return await super().commit(stream, change._replace(ttl=3_600_000_000) if moves else change)


@breaks(deletion.an_expired_conversation_is_gone_at_once, saving.an_expired_task_is_gone_at_once)
class ExpiresLate(Alters):
    def altered(self, change):
        late = change.expires_at not in (KEEP, None)
        return change._replace(expires_at=change.expires_at + 10**15) if late else change


@breaks(deletion.a_moment_of_expiry_is_exact_and_can_be_taken_back, saving.an_expired_task_is_gone_at_once)
class RoundsMoments(Alters):
    def altered(self, change):
        late = change.expires_at not in (KEEP, None)
        return change._replace(expires_at=change.expires_at // 10**6 * 10**6) if late else change


@breaks(
    incarnations.a_sweep_removes_the_expired_and_spares_the_living,
    deletion.a_sweep_removes_what_has_expired,
    saving.an_expired_task_is_gone_at_once,
)
class NeverSweeps(Wrapper):
    async def sweep(self, *, dry_run=False):
        return Swept(0, 0)


@breaks(versions.artifacts_are_listed_the_last_changed_first, saving.a_list_shows_the_newest_state_alone)
class KeepsTheFirstLabels(Wrapper):
    async def commit(self, stream, change):
        (head,) = await self.heads([stream])
        return await super().commit(stream, change._replace(labels=head.labels) if head and change.labels else change)


@breaks(
    names.a_listing_by_recency_shows_the_last_changed_first,
    recency.contexts_are_listed_the_last_changed_first,
    versions.artifacts_are_listed_the_last_changed_first,
    saving.a_list_shows_the_newest_state_alone,
)
class ListsByName(Wrapper):
    async def streams(self, query):
        return await super().streams(query._replace(order="name"))


@breaks(contexts.contexts_are_found_by_metadata)  # tasks and artifacts are held against their labels once more
class ListsAll(Wrapper):
    async def streams(self, query):
        return await super().streams(query._replace(where=None))
