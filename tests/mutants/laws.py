"""Stores with one law broken for one verb, and kept for every other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast import Artifacts, Messages, Tasks
from stowfast.testing.artifacts import laws as artifacts_laws
from stowfast.testing.messages import laws as messages_laws
from stowfast.testing.tasks import laws as tasks_laws
from tests.mutants import breaks, without

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.testing import Clause

LAWS: Mapping[str, Clause[Any]] = messages_laws.LAWS | tasks_laws.LAWS | artifacts_laws.LAWS

VERBS: dict[str, tuple[type, str]] = {
    "message": (Messages, "add_message"),
    "batch": (Messages, "add_messages"),
    "titled_message": (Messages, "add_message"),
    "replacement": (Messages, "replace_messages"),
    "pop": (Messages, "pop_message"),
    "fork": (Messages, "fork"),
    "save": (Tasks, "save"),
    "task_update": (Tasks, "update"),
    "rewinding": (Tasks, "rewind"),
    "creation": (Artifacts, "create"),
    "artifact_update": (Artifacts, "update"),
    "writer": (Artifacts, "open_writer"),
    "dataset": (Artifacts, "open_dataset"),
}
"""The method of each verb of the tables."""

NAMES = {
    ("a_repeated_{}_changes_nothing", "fork"): "a_repeated_fork_forks_nothing",
    ("a_repeated_{}_changes_nothing", "save"): "a_repeated_op_id_saves_nothing",
    ("a_repeated_{}_changes_nothing", "creation"): "a_repeated_op_id_makes_no_version",
    ("of_racing_calls_one_makes_the_{}", "batch"): "of_racers_that_expect_the_same_one_wins",
    ("of_racing_calls_one_makes_the_{}", "save"): "of_racing_saves_that_expect_the_same_one_wins",
}
"""Pairs with a name of their own."""


async def fork_over(self, source, target, **options):
    await self.delete(target)
    return await Messages.fork(self, source, target, **options)


async def create_over(self, artifact, **options):
    await self.delete(artifact.artifact_id)
    return await Artifacts.create(self, artifact, **options)


CONDITIONS = {"titled_message": "if_token", "replacement": "if_token"}
"""The option of a race of each verb, where it is not `expect`."""

RACERS = {"fork": fork_over, "creation": create_over}
"""Verbs that race without an option."""

for law, option in (
    ("a_repeated_{}_changes_nothing", "op_id"),
    ("a_lost_answer_doubles_no_{}", "op_id"),
    ("a_repeated_{}_stays_deleted", "op_id"),
    ("of_racing_calls_one_makes_the_{}", "expect"),
):
    for key, (kind, method) in VERBS.items():
        clause = LAWS.get(NAMES.get((law, key), law.format(key)))
        if clause:
            ignored = CONDITIONS.get(key, option) if option == "expect" else option
            replacement = (option == "expect" and RACERS.get(key)) or without(kind, method, ignored)
            breaks(clause)(type(f"Ignores_{ignored}_of_{method}", (kind,), {method: replacement}))
