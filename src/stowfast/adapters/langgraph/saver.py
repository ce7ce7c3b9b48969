"""`StowfastSaver`: LangGraph's checkpoints in a Stowfast store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.adapters.closing import WithBothCloses
from stowfast.adapters.extras import extra
from stowfast.adapters.langgraph import reading, rewriting
from stowfast.adapters.langgraph.entries import encode_metadata
from stowfast.adapters.langgraph.marks import mark_of
from stowfast.adapters.langgraph.runs import Runs
from stowfast.adapters.langgraph.saving import CheckpointLetter, WritesLetter, deliver
from stowfast.adapters.langgraph.seal import Seal, serializer_and_cipher
from stowfast.adapters.langgraph.threads import Threads
from stowfast.adapters.langgraph.values import ValueCache
from stowfast.adapters.opener import Opener
from stowfast.errors import InvalidError

with extra("langgraph"):
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        get_checkpoint_id,
        get_checkpoint_metadata,
    )
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from stowfast import sync
    from stowfast.stores import Stores

__all__ = ["StowfastSaver"]

R = TypeVar("R")

_LINGER: Final = timedelta(milliseconds=5)
_END: Final = object()


class _Shared:
    """The state of a saver and its copies: LangGraph copies a saver for each compiled graph."""

    def __init__(self, opener: Opener, seal: Seal, linger: float) -> None:
        self.threads = Threads(opener, seal, linger)
        self.runs = Runs()
        self.values = ValueCache()


class StowfastSaver(WithBothCloses, BaseCheckpointSaver[int]):
    """Checkpoints of LangGraph in memory, a SQLite file, a bucket or PostgreSQL.

    Both faces, sync and async, work on the same object, in any thread and event loop. A returned call is stored
    durably. A lost answer stays inside: a call is repeated under one idempotency key, and adds nothing twice.

    Of two runs from one checkpoint of a thread, in one process or two, the first one wins. The other gets a
    ConflictError with its next checkpoint, which then does not count: load the thread again. Time travel,
    marked as a fork by LangGraph, stays possible. A run whose thread was deleted gets a ConflictError, too.

    Checkpoints are stored as differences from earlier ones, and a checkpoint and the writes before it as one commit.
    Types are read back if LangGraph knows them as safe, or if they are in `allowed`; pickle is refused.

    Args:
        stores: a URL, or open stores of either face.
        scope: the scope of these stores to use.
        serde: the serializer. An `EncryptedSerializer` gives its cipher: entries are encrypted after their difference
            was taken, and bound to their thread and checkpoint. Ids, metadata and sizes stay plain. An entry in plain
            text is then a DamagedError.
        allowed: types to be read back, beside the safe ones; not together with `serde`.
        linger: the longest wait of the writes of a task for the next checkpoint, to be one commit with it.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or the serializer may use pickle.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        serde: SerializerProtocol | None = None,
        allowed: Iterable[type | tuple[str, ...]] = (),
        linger: timedelta = _LINGER,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        allowed = list(allowed)
        if serde is not None and allowed:
            raise InvalidError("give serde or allowed, not both")
        given = JsonPlusSerializer(allowed_msgpack_modules=allowed or None) if serde is None else serde
        inner, cipher = serializer_and_cipher(given)
        super().__init__(serde=inner)
        self._opener = Opener(stores, scope=scope, within=within, **options)
        self._shared = _Shared(self._opener, Seal(cipher), linger.total_seconds())

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, or the newest of its namespace; None if there is none."""
        _, ns, id = _named(config)
        return await reading.read_tuple(self._shared.threads, self.serde, config, ns, id)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, the greatest id first; without a config those of all threads, the last changed first.

        Args:
            config: the thread, and the namespace and checkpoint if it names them.
            filter: keys of the metadata with their values.
            before: only checkpoints with a lower id than this one's.
            limit: the most checkpoints.
        """
        names = (config or {}).get("configurable", {})
        given = names.get("thread_id")
        threads = self._shared.threads.ids() if given is None else _single(given)
        left = limit
        async for thread in threads:
            if left is not None and left <= 0:
                return
            async for found in reading.list_thread(
                self._shared.threads,
                self.serde,
                thread,
                ns=names.get("checkpoint_ns"),
                id=names.get("checkpoint_id"),
                filter=filter,
                before=get_checkpoint_id(before) if before else None,
                limit=left,
            ):
                yield found
                left = left - 1 if left is not None else None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint under its parent, the checkpoint of `config`.

        Raises:
            ConflictError: another run went on from the parent since this one saw it, or the thread was deleted. The
                checkpoint does not count.
            UnavailableError: it may be stored. Repeat the call: a second checkpoint of the same id takes its place.
        """
        thread_id, ns, parent = _named(config)
        shared, id = self._shared, checkpoint["id"]
        thread = shared.threads.get(thread_id)
        facts: dict[str, Any] = {**get_checkpoint_metadata(config, metadata)}
        stored = encode_metadata(facts)
        text, values = shared.values.text(self.serde, (thread_id, ns), parent, checkpoint, new_versions)
        if facts.get("run_id") is not None:
            await shared.runs.note(await shared.threads.backend(), str(facts["run_id"]), thread_id)
        mark = mark_of((shared.threads.number, thread_id, ns, parent))

        def letter() -> CheckpointLetter:
            incarnation = mark.incarnation if mark is not None else None
            return CheckpointLetter(
                *(ns, id, parent, stored, text),
                fork=facts.get("source") == "fork",
                mark=mark,
                incarnation=incarnation or shared.threads.life_of(thread_id, ns, parent),
            )

        await thread.outbox.send(letter, lambda letters: deliver(shared.threads, thread, letters))
        shared.values.keep((thread_id, ns), values)
        if thread.texts is not None:
            shared.threads.note_life(thread_id, ns, id, thread.texts.log.incarnation)
        return reading.config_of(config["configurable"]["thread_id"], ns, id)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store the writes of a task for a checkpoint. It may come later.

        Of writes with one task and number the first one stays; of errors, interrupts and resumes the last one.

        Raises:
            ConflictError: the thread was deleted since this run saw the checkpoint.
            UnavailableError: they may be stored. Repeat the call: it changes nothing.
        """
        thread_id, ns, id = _named(config)
        if id is None:
            raise InvalidError("config: writes belong to a checkpoint, and it has no checkpoint_id")
        shared = self._shared
        thread = shared.threads.get(thread_id)
        mark = mark_of((shared.threads.number, thread_id, ns, id))
        known = mark.incarnation if mark is not None else shared.threads.life_of(thread_id, ns, id)
        encoded = [
            (WRITES_IDX_MAP.get(channel, number), channel, *self.serde.dumps_typed(value))
            for number, (channel, value) in enumerate(writes)
        ]
        await thread.outbox.send(
            lambda: WritesLetter(ns, id, task_id, task_path, encoded, incarnation=known),
            lambda letters: deliver(shared.threads, thread, letters),
        )

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with all its checkpoints and writes, in one commit."""
        await rewriting.delete_thread(self._shared.threads, str(thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs with their writes. Each thread is one commit."""
        await rewriting.delete_runs(self._shared.threads, self._shared.runs, [str(run) for run in run_ids])

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread into a new one, in one commit.

        Raises:
            ConflictError: the target exists.
        """
        shared = self._shared
        await rewriting.copy_thread(shared.threads, shared.runs, str(source_thread_id), str(target_thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete old checkpoints. Each thread is one commit.

        Args:
            thread_ids: the threads.
            strategy: `keep_latest` keeps the newest checkpoint of each namespace, and the ancestors for its
                delta channels; `delete` deletes the threads.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise InvalidError(f"strategy={strategy!r}: it is keep_latest or delete")
        change = rewriting.prune_thread if strategy == "keep_latest" else rewriting.delete_thread
        for thread in thread_ids:
            await change(self._shared.threads, str(thread))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the writes of delta channels on the way to a checkpoint, and the values before these."""
        thread, ns, id = _named(config)
        return await reading.delta_history(self._shared.threads, self.serde, thread, ns, id, channels)

    async def aclose(self) -> None:
        """Let go of the stores. Stores given open stay open."""
        await self._shared.threads.settle()
        await super().aclose()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `aget_tuple`."""
        return self._opener.run(self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As `alist`."""
        found: Any = self.alist(config, filter=filter, before=before, limit=limit)
        try:
            while (one := self._opener.run(_next(found))) is not _END:
                yield one
        finally:
            self._opener.run(found.aclose())

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `aput`."""
        return self._opener.run(self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `aput_writes`."""
        self._opener.run(self.aput_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """As `adelete_thread`."""
        self._opener.run(self.adelete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `adelete_for_runs`."""
        self._opener.run(self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `acopy_thread`."""
        self._opener.run(self.acopy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `aprune`."""
        self._opener.run(self.aprune(thread_ids, strategy=strategy))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `aget_delta_channel_history`."""
        return self._opener.run(self.aget_delta_channel_history(config=config, channels=channels))

    def get_next_version(self, current: int | str | None, channel: None) -> Any:
        """Return the next version of a channel: a number, or text in a thread begun with text by another saver."""
        if isinstance(current, str):
            return f"{int(current.partition('.')[0]) + 1:032}.{0:016}"
        return 1 if current is None else current + 1


def _named(config: RunnableConfig) -> tuple[str, str, str | None]:
    names = config["configurable"]
    return str(names["thread_id"]), names.get("checkpoint_ns", ""), get_checkpoint_id(config) or None


async def _single(thread: Any) -> AsyncIterator[Any]:
    yield thread


async def _next(found: AsyncIterator[CheckpointTuple]) -> Any:
    return await anext(found, _END)
