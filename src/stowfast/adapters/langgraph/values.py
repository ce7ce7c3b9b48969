"""Values of channels as bytes. An unchanged channel is not serialized again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.adapters.langgraph.entries import CheckpointText, encode_text
from stowfast.adapters.langgraph.messages import Serialized, serialized
from stowfast.blocking import alone
from stowfast.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langgraph.checkpoint.base import ChannelVersions, Checkpoint
    from langgraph.checkpoint.serde.base import SerializerProtocol

__all__ = ["KnownValues", "ValueCache"]

_MOST_BYTES: Final = 2**25


class KnownValues(NamedTuple):
    """The values of one checkpoint, with the versions of their channels."""

    checkpoint: str
    values: dict[str, tuple[Any, Serialized]]

    @property
    def memory(self) -> int:
        """Bytes of the values."""
        return sum(one.memory for _, one in self.values.values())


class ValueCache:
    """The values of the last checkpoint put in each namespace."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._known: LRU[tuple[str, str], KnownValues] = LRU(_MOST_BYTES, lambda known: known.memory)

    def text(
        self,
        serde: SerializerProtocol,
        place: tuple[str, str],
        parent: str | None,
        checkpoint: Checkpoint,
        new_versions: ChannelVersions,
    ) -> tuple[bytes, KnownValues]:
        """Return a checkpoint as text, and its values.

        Args:
            serde: the serializer.
            place: thread and namespace.
            parent: the id of the parent. Only its values are taken over: versions of another branch may be equal, and
                their values are not.
            checkpoint: the checkpoint.
            new_versions: the changed channels.
        """
        with alone(self._lock):
            before = self._known.get(place)
        known = before.values if before is not None and before.checkpoint == parent else {}
        versions: Mapping[str, Any] = checkpoint["channel_versions"]
        values: dict[str, tuple[Any, Serialized]] = {}
        for name, value in sorted(checkpoint["channel_values"].items()):
            version = versions.get(name)
            old = known.get(name)
            if old is not None and version is not None and old[0] == version and name not in new_versions:
                values[name] = old
            else:
                values[name] = version, serialized(serde, name, value, old[1] if old is not None else None)
        rest = {name: value for name, value in checkpoint.items() if name != "channel_values"}
        text = CheckpointText([one.value for _, one in values.values()], *serde.dumps_typed(rest))
        return encode_text(text), KnownValues(checkpoint["id"], values)

    def keep(self, place: tuple[str, str], known: KnownValues) -> None:
        """Keep the values of a checkpoint."""
        with alone(self._lock):
            self._known.put(place, known)
