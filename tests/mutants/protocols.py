"""The smallest correct stores, and broken variants of them."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from dataclasses import replace

from stowfast.errors import ConflictError, NotFoundError
from stowfast.records import TaskState
from stowfast.testing import protocols
from tests.mutants import breaks


class Conversations:
    def __init__(self):
        self.rows = {}

    async def get_messages(self, context_id):
        return [json.loads(row) for row in self.rows.get(context_id, ())]

    async def add_message(self, context_id, message):
        self.rows.setdefault(context_id, []).append(json.dumps(message))


@breaks(protocols.messages_come_back_in_order_exactly_as_given)
class SortsKeys(Conversations):
    async def add_message(self, context_id, message):
        await super().add_message(context_id, json.loads(json.dumps(message, sort_keys=True)))


@breaks(protocols.messages_come_back_in_order_exactly_as_given)
class DropsNulls(Conversations):
    async def add_message(self, context_id, message):
        await super().add_message(context_id, {key: value for key, value in message.items() if value is not None})


@breaks(protocols.messages_come_back_in_order_exactly_as_given)
class NumbersAreFloats(Conversations):
    async def get_messages(self, context_id):
        return [json.loads(row, parse_int=float) for row in self.rows.get(context_id, ())]


@breaks(protocols.messages_come_back_in_order_exactly_as_given)
class NewestFirst(Conversations):
    async def get_messages(self, context_id):
        return (await super().get_messages(context_id))[::-1]


@breaks(protocols.an_unknown_conversation_is_empty)
class MissesConversations(Conversations):
    async def get_messages(self, context_id):
        if context_id not in self.rows:
            raise NotFoundError(context_id)
        return await super().get_messages(context_id)


@breaks(protocols.conversations_do_not_mix)
class FileNames(Conversations):
    async def get_messages(self, context_id):
        return await super().get_messages(context_id.replace("/", "_"))

    async def add_message(self, context_id, message):
        await super().add_message(context_id.replace("/", "_"), message)


@breaks(protocols.messages_are_copies)
class KeepsTheObject(Conversations):
    async def get_messages(self, context_id):
        return list(self.rows.get(context_id, ()))

    async def add_message(self, context_id, message):
        self.rows.setdefault(context_id, []).append(message)


@breaks(protocols.concurrent_messages_are_all_there_once)
class ReadsAddsWritesBack(Conversations):
    async def add_message(self, context_id, message):
        messages = await self.get_messages(context_id)
        await asyncio.sleep(0)
        self.rows[context_id] = [json.dumps(one) for one in [*messages, message]]


class Artifacts:
    def __init__(self):
        self.rows = {}

    async def create(self, artifact):
        if artifact.artifact_id in self.rows:
            raise ConflictError(artifact.artifact_id)
        self.rows[artifact.artifact_id] = deepcopy(artifact)

    async def get(self, artifact_id):
        return deepcopy(self.rows.get(artifact_id))


@breaks(protocols.an_artifact_comes_back_exactly_as_given)
class EmptyIsNothing(Artifacts):
    async def get(self, artifact_id):
        found = await super().get(artifact_id)
        if found:
            found.content = found.content or None
        return found


@breaks(protocols.an_artifact_comes_back_exactly_as_given)
class SortsMetadata(Artifacts):
    async def get(self, artifact_id):
        found = await super().get(artifact_id)
        if found:
            found.metadata = dict(sorted(found.metadata.items()))
        return found


@breaks(protocols.an_unknown_artifact_is_none)
class MissesArtifacts(Artifacts):
    async def get(self, artifact_id):
        if artifact_id not in self.rows:
            raise NotFoundError(artifact_id)
        return await super().get(artifact_id)


@breaks(protocols.artifacts_do_not_mix)
class IgnoresCase(Artifacts):
    async def create(self, artifact):
        artifact.artifact_id = artifact.artifact_id.lower()
        await super().create(artifact)

    async def get(self, artifact_id):
        return await super().get(artifact_id.lower())


@breaks(protocols.an_artifact_is_created_once, protocols.of_racing_creations_one_wins)
class Overwrites(Artifacts):
    async def create(self, artifact):
        self.rows[artifact.artifact_id] = deepcopy(artifact)


@breaks(protocols.an_artifact_is_created_once, protocols.of_racing_creations_one_wins)
class TakesEqualContentForARepeat(Artifacts):
    async def create(self, artifact):
        there = self.rows.get(artifact.artifact_id)
        if there is None or there.content != artifact.content:
            await super().create(artifact)


@breaks(protocols.of_racing_creations_one_wins)
class LooksThenWrites(Artifacts):
    async def create(self, artifact):
        if artifact.artifact_id in self.rows:
            raise ConflictError(artifact.artifact_id)
        await asyncio.sleep(0)
        self.rows[artifact.artifact_id] = deepcopy(artifact)


@breaks(protocols.artifacts_are_copies)
class KeepsTheArtifact(Artifacts):
    async def create(self, artifact):
        await super().create(artifact)
        self.rows[artifact.artifact_id] = artifact


@breaks(protocols.artifacts_are_copies)
class HandsOutItsArtifact(Artifacts):
    async def get(self, artifact_id):
        return self.rows.get(artifact_id)


class TaskStates:
    def __init__(self):
        self.rows = {}

    async def save(self, state):
        self.rows[state.task_id] = deepcopy(state)

    async def load(self, task_id):
        return deepcopy(self.rows.get(task_id))


@breaks(protocols.a_state_comes_back_exactly_as_given)
class NothingIsAnEmptyDict(TaskStates):
    async def load(self, task_id):
        found = await super().load(task_id)
        if found:
            found.data = found.data or {}
        return found


@breaks(protocols.a_state_comes_back_exactly_as_given)
class ForgetsTheAgent(TaskStates):
    async def load(self, task_id):
        found = await super().load(task_id)
        if found:
            found.agent_id = None
        return found


@breaks(protocols.an_unknown_task_is_none)
class InventsTasks(TaskStates):
    async def load(self, task_id):
        return await super().load(task_id) or TaskState(task_id=task_id)


@breaks(protocols.tasks_do_not_mix)
class StripsNames(TaskStates):
    async def save(self, state):
        self.rows[state.task_id.strip(" /")] = deepcopy(state)

    async def load(self, task_id):
        return await super().load(task_id.strip(" /"))


@breaks(protocols.the_last_save_wins)
class KeepsTheFirst(TaskStates):
    async def save(self, state):
        self.rows.setdefault(state.task_id, deepcopy(state))


@breaks(protocols.the_last_save_wins)
class IgnoresOlderVersions(TaskStates):
    async def save(self, state):
        there = self.rows.get(state.task_id)
        if there is None or not 0 < state.version < there.version:
            await super().save(replace(state, version=there.version + 1 if there else 1))


@breaks(protocols.racing_saves_leave_one_of_them)
class SavesInTwoSteps(TaskStates):
    async def save(self, state):
        there = self.rows.setdefault(state.task_id, deepcopy(state))
        await asyncio.sleep(0)
        there.status = state.status


@breaks(protocols.states_are_copies)
class KeepsTheState(TaskStates):
    async def save(self, state):
        self.rows[state.task_id] = state


@breaks(protocols.states_are_copies)
class HandsOutItsState(TaskStates):
    async def load(self, task_id):
        return self.rows.get(task_id)
