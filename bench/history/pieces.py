"""Versions as what JSON has to say of them, or as pieces that several have in common."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import msgspec

from bench.history.deltas import Cost, Encoding, compress, expand

__all__ = ["Channels", "Chunks", "Patches"]

_ID = 16
"""Bytes of a name that stands for content."""


class Patches(Encoding):
    """JSON Patches of the version before, each compressed; a new whole version when they outgrow it."""

    def __init__(self) -> None:
        self._stored: list[tuple[int, bytes]] = []
        self._patches = 0
        self._last: Any = None

    def save(self, state: Any) -> int:
        import jsonpatch

        number, body = len(self._stored), b""
        whole = self._stored[-1][0] if self._stored else number
        if self._stored:
            body = compress(msgspec.json.encode(jsonpatch.make_patch(self._last, state).patch), b"")
            self._patches += len(body)
            if self._patches > len(self._stored[whole][1]):
                whole = number
        if whole == number:
            self._patches, body = 0, compress(msgspec.json.encode(state), b"")
        self._stored.append((whole, body))
        self._last = state
        return len(body) + 8

    def load(self, number: int) -> Any:
        import jsonpatch

        whole = self._stored[number][0]
        state = msgspec.json.decode(expand(self._stored[whole][1], b""))
        for _, body in self._stored[whole + 1 : number + 1]:
            state = jsonpatch.apply_patch(state, msgspec.json.decode(expand(body, b"")), in_place=True)
        return state

    def cost(self, number: int) -> Cost:
        whole = self._stored[number][0]
        size = sum(len(body) + 8 for _, body in self._stored[whole : number + 1])
        return Cost(number - whole + 1, 1 if whole == number else 2, size)


class Channels(Encoding):
    """Each top-level key is a blob of its own, stored once for each value it has, compressed; a version names them."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, bytes] = {}
        self._stored: list[dict[str, bytes]] = []

    def save(self, state: Any) -> int:
        size, names = 8, {}
        for key, value in state.items():
            text = msgspec.json.encode(value)
            names[key] = name = hashlib.sha256(text).digest()[:_ID]
            if name not in self._blobs:
                self._blobs[name] = compress(text, b"")
                size += len(self._blobs[name])
        self._stored.append(names)
        return size + sum(len(key) + _ID for key in names)

    def load(self, number: int) -> Any:
        names = self._stored[number]
        return {key: msgspec.json.decode(expand(self._blobs[name], b"")) for key, name in names.items()}

    def cost(self, number: int) -> Cost:
        names = self._stored[number]
        return Cost(1, 1 + len(names), sum(len(self._blobs[name]) for name in names.values()))


class Chunks(Encoding):
    """Text cut where its content says so (FastCDC), each chunk stored once, compressed.

    A save stores its new chunks and a list of all, as runs of their numbers: the least that it could take. Chunks that
    came together lie together, so a load reads one range for each save that it has a chunk of.
    """

    def __init__(self, average: int) -> None:
        self._average = average
        self._numbers: dict[bytes, int] = {}
        self._chunks: list[bytes] = []
        self._came: list[int] = []
        """With which save each chunk came."""
        self._stored: list[list[int]] = []

    def save(self, state: Any) -> int:
        text = msgspec.json.encode(state)
        size, numbers, start = 0, [], 0
        for end in cuts(text, self._average):
            chunk = text[start:end]
            name = hashlib.sha256(chunk).digest()[:_ID]
            number = self._numbers.setdefault(name, len(self._chunks))
            if number == len(self._chunks):
                self._chunks.append(compress(chunk, b""))
                self._came.append(len(self._stored))
                size += len(self._chunks[-1])
            numbers.append(number)
            start = end
        self._stored.append(numbers)
        runs = [0]
        for before, number in zip([-1, *numbers], numbers, strict=False):
            if number == before + 1:
                runs[-1] += 1
            else:
                runs += [number, 1]
        return size + 8 + min(len(text := msgspec.msgpack.encode(runs)), len(compress(text, b"")))

    def load(self, number: int) -> Any:
        return msgspec.json.decode(b"".join(expand(self._chunks[one], b"") for one in self._stored[number]))

    def cost(self, number: int) -> Cost:
        numbers = self._stored[number]
        size = sum(len(self._chunks[one]) for one in numbers)
        return Cost(len(numbers), 1 + len({self._came[one] for one in numbers} - {number}), size)


def cuts(text: bytes, average: int) -> list[int]:
    """Return where the chunks end: at a gear hash with zero bits, harder to reach below the average size than above it.

    The hash of each place is that of the 32 bytes before it, so all are computed at once, by doubling.
    """
    import numpy as np

    hashes = _gear(np)[np.frombuffer(text, dtype=np.uint8)]
    for width in (1, 2, 4, 8, 16):
        shifted = hashes[:-width] << np.uint32(width)
        hashes[width:] += shifted
    bits = average.bit_length() - 1
    easy = np.flatnonzero(hashes >> np.uint32(32 - bits + 2) == 0)
    hard = set(np.flatnonzero(hashes >> np.uint32(32 - bits - 2) == 0).tolist())
    ends, start = [], 0
    while len(text) - start > average // 4:
        end = min(start + average * 4, len(text))
        begin = np.searchsorted(easy, start + average // 4)
        for place in easy[begin:].tolist() if begin + 64 > len(easy) else easy[begin : begin + 64].tolist():
            if place >= end:
                break
            if place in hard or place - start >= average:
                end = place + 1
                break
        ends.append(end)
        start = end
    return ends if start == len(text) else [*ends, len(text)]


def _gear(np: Any) -> Any:
    dice = random.Random(9)
    return np.array([dice.getrandbits(32) for _ in range(256)], dtype=np.uint32)
