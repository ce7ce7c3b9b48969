"""Lists of messages as bytes: of a list that grew, only the new messages are serialized.

A message may be changed in place, so the same object may be another message. Its fields are compared with those from
before. This takes a tenth of the time, as LangGraph asks each message in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.adapters.extras import extra
from stowfast.adapters.langgraph.entries import Value

with extra("langgraph"):
    import ormsgpack
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

__all__ = ["Serialized", "serialized"]

_KINDS: Final[dict[type, int]] = {AIMessage: 0, HumanMessage: 1, SystemMessage: 2, ToolMessage: 3}
"""Their bytes depend on nothing but their fields. A subclass may be serialized in a way of its own."""
_PLAIN: Final = (
    # A type that LangGraph stores in a way of its own must not look like a plain one.
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
)


class Serialized(NamedTuple):
    """A channel's value as bytes."""

    value: Value
    number: int
    """Of its messages; 0: it is no list of messages with plain fields alone."""
    fields: bytes
    """Of all its messages, one after the other."""

    @property
    def memory(self) -> int:
        """Approximate bytes in memory."""
        return len(self.value.data) + len(self.fields)


def serialized(serde: SerializerProtocol, name: str, value: Any, before: Serialized | None) -> Serialized:
    """Return a channel's value as bytes, the same that the serializer makes of it.

    Args:
        serde: the serializer.
        name: of the channel.
        value: the value.
        before: an earlier value of the channel. The bytes of its messages are taken over, if all are still there.
    """
    if type(value) is not list or type(serde) is not JsonPlusSerializer:
        return Serialized(Value(name, *serde.dumps_typed(value)), 0, b"")
    items = value.copy()  # its length stays, whatever another thread does with the list
    # The fields first: if a message is changed meanwhile, all are serialized with the next value.
    fields = _fields(items)
    number = len(items) if fields else 0
    if before is None or not 0 < before.number <= number or not fields.startswith(before.fields):
        return Serialized(Value(name, *serde.dumps_typed(items)), number, fields)
    more = items[before.number :]
    kept = before.value.data[len(_head(before.number)) :]
    added = serde.dumps_typed(more)[1][len(_head(len(more))) :]
    return Serialized(Value(name, before.value.type, b"".join((_head(number), kept, added))), number, fields)


def _fields(items: list[Any]) -> bytes:
    try:
        fields = [(_KINDS[type(one)], one.__dict__, one.__pydantic_extra__) for one in items]
        return ormsgpack.packb(fields, None, _PLAIN)[len(_head(len(items))) :]
    except (KeyError, TypeError):
        return b""


def _head(length: int) -> bytes:
    """Return the beginning of a list in MessagePack."""
    if length < 16:
        return bytes([0x90 | length])
    return b"\xdc" + length.to_bytes(2) if length < 2**16 else b"\xdd" + length.to_bytes(4)
