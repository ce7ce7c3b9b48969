"""JSON and ids, checked before storage: a value is returned exactly as given, or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from stowfast.abc import MAX_ENTRY_BYTES, MAX_HEAD_BYTES
from stowfast.errors import DamagedError, InvalidError, shown
from stowfast.names import check_name, check_text
from stowfast.stores.json_check import MAX_DEPTH, check_json, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MAX_CLOCK_SKEW",
    "MAX_DEPTH",
    "MAX_ID_BYTES",
    "check_counts",
    "check_given",
    "check_integers",
    "decode",
    "decode_lines",
    "decode_many",
    "encode",
    "encode_head",
    "encode_lines",
    "from_duration",
    "from_time",
    "labels_of",
    "stream_name",
    "to_time",
]

MAX_CLOCK_SKEW: Final = 60 * 1_000_000
"""Microseconds by which the clocks of two callers may differ. A time that lies further ahead tells nothing."""

MAX_ID_BYTES: Final = 1_024
"""The longest id, as UTF-8."""

_MAX_INTEGER_BITS: Final = 62
_TOGETHER: Final = 50
"""Values decoded together. All of 10,000 took a quarter longer: their bytes leave the cache of the CPU."""

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder()
_encode = _encoder.encode
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def encode(value: Any, what: str) -> bytes:
    """Return a value as JSON in UTF-8, in its key order.

    Raises:
        InvalidError: JSON cannot return the value unchanged: a NaN, an infinity, a tuple, a key that is not text, a
            lone surrogate, an integer of over 4,300 digits, an object of a class, over 200 levels deep, or over 64
            MiB.
    """
    check_json(value, what)
    try:
        data = _encode(value)
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise refusal(value, what, str(error)) from error
    if len(data) > MAX_ENTRY_BYTES:
        raise InvalidError(
            f"{what} has {len(data):,} bytes as JSON, the limit is {MAX_ENTRY_BYTES:,}: store it as an artifact"
        )
    return data


def encode_head(value: Any, what: str) -> bytes:
    """Encode a value for the head of a stream.

    Raises:
        InvalidError: as `encode`, or the JSON has over 64 KiB.
    """
    data = encode(value, what)
    if len(data) > MAX_HEAD_BYTES:
        raise InvalidError(
            f"{what} has {len(data):,} bytes as JSON, the limit is {MAX_HEAD_BYTES:,}: shorten it, "
            "and keep what is large as a message or an artifact"
        )
    return data


def encode_lines(values: list[Any], first: int, what: str) -> bytes:
    """Encode each value into a line of its own, as `encode` does, but faster.

    Raises:
        InvalidError: as `encode` does, with the number of the value, where the first has the number `first`.
    """
    try:
        check_json(values, what)
        data = _encoder.encode_lines(values)
        if len(data) <= MAX_ENTRY_BYTES:
            return data
    except (ValueError, OverflowError, TypeError, RecursionError):
        pass
    # One of them cannot be kept; or they only look so, together one level deeper and larger than each of them.
    return b"".join(encode(value, f"{what} {number:,}") + b"\n" for number, value in enumerate(values, first))


def decode(data: bytes, where: str) -> Any:
    """Decode JSON of `encode`.

    Raises:
        DamagedError: it is not JSON.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        raise DamagedError(f"{where}: what is stored is not JSON: {error}") from error


def decode_many(data: Sequence[bytes], where: str) -> list[Any]:
    """Decode many values, faster than one by one. Extra memory: the bytes of up to 50 values."""
    values: list[Any] = []
    for start in range(0, len(data), _TOGETHER):
        values += _decode_together(data[start : start + _TOGETHER], where)
    return values


def _decode_together(data: Sequence[bytes], where: str) -> list[Any]:
    try:
        values: list[Any] = _decoder.decode(b"[%b]" % b",".join(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
        values = []
    if len(values) != len(data):  # find the one, for its error; and "1,2" is one damaged entry, not two
        values = [decode(one, where) for one in data]
    return values


def decode_lines(data: bytes, where: str) -> list[Any]:
    """Decode lines of `encode_lines`.

    Raises:
        DamagedError: it is not lines of JSON.
    """
    try:
        return _decoder.decode_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        raise DamagedError(f"{where}: what is stored is not lines of JSON: {error}") from error


def stream_name(kind: str, name: str, value: str) -> str:
    """Return the stream name of an id, checked. Two ids never share a stream, with any characters.

    Raises:
        InvalidError: the id is not text, empty, over 1,024 bytes of UTF-8, or has NUL or a lone surrogate.
    """
    check_name(value, name, max_bytes=MAX_ID_BYTES)
    return f"{kind}/{value}"


def labels_of(names: Sequence[str], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the named values that are not None, as labels for listings.

    Raises:
        InvalidError: a value is not text.
    """
    labels = {name: values[name] for name in names if values[name] is not None}
    for name, value in labels.items():
        check_text(value, name)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidError(f"{name} has a lone surrogate: it is not Unicode text") from None
    return labels


def check_integers(**values: int | None) -> None:
    """Check named integers.

    Raises:
        InvalidError: a value is neither an integer of at most 62 bits nor None.
    """
    for name, value in values.items():
        if value is None:
            continue
        if type(value) is not int:
            raise InvalidError(f"{name} must be an int, not {type(value).__name__}")
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise InvalidError(f"{name}={shown(value)}: it may have {_MAX_INTEGER_BITS} bits")


def check_counts(**counts: int | None) -> None:
    """Refuse to count to less than nothing.

    Raises:
        InvalidError: one of the counts is negative, or no integer.
    """
    check_integers(**counts)
    for name, value in counts.items():
        if value is not None and value < 0:
            raise InvalidError(f"{name}={shown(value)}: it must be 0 or more")


def check_given(**values: int) -> None:
    """Check named integers that cannot be None.

    Raises:
        InvalidError: a value is not an integer of at most 62 bits.
    """
    for name, value in values.items():
        if value is None:
            raise InvalidError(f"{name} must be an int, not None")
    check_integers(**values)


def to_time(microseconds: int, where: str = "a stream") -> datetime:
    """Return a stored moment as a timezone-aware datetime, exactly.

    Raises:
        DamagedError: no such moment can have been stored: it is no integer, or outside the years 1 to 9999.
    """
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except (OverflowError, TypeError) as error:
        raise DamagedError(f"{where}: {microseconds!r} is stored as a time") from error


def from_duration(duration: object, what: str) -> int:
    """Return microseconds.

    Raises:
        InvalidError: it is no timedelta, or a negative one.
    """
    if not isinstance(duration, timedelta):
        raise InvalidError(f"{what}={shown(duration)}: it must be a timedelta, such as timedelta(minutes=1)")
    if duration < timedelta(0):
        raise InvalidError(f"{what}={duration!s}: it must not be negative")
    return duration // timedelta(microseconds=1)


def from_time(moment: object, what: str) -> int:
    """Return microseconds since 1970.

    Raises:
        InvalidError: it is not a datetime, has no timezone and so no fixed moment, or lies outside the years 1 to 9999
            in UTC.
    """
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise InvalidError(f"{what} must be a datetime with a timezone, such as datetime.now(UTC) + timedelta(days=30)")
    try:
        return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        raise InvalidError(f"{what} is outside the years 1 to 9999 in UTC: for no end at all pass None") from None
