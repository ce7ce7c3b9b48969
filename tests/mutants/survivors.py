"""The generated mutants without a finder, each with the reason: no caller can see its effect."""

from __future__ import annotations

_CHUNK = "a blob may be read in chunks of any size"
_KEPT = "it remembers more op_ids than it must, or the same at another moment; only memory is used"
_GONE = "the head is gone, so nothing can be read; the rest is cleared when the stream begins again"
_MARK = "a mark for blobs that were linked: any number that is no time of a clock"
_NO_SUCH_BYTE = "no byte of UTF-8 is 0xff"
_NO_SUCH_END = "no key ends with the first character of the alphabet"
_EMPTY = "an empty range removes nothing"

_SOUND = "the memory backend has no damaged heads; tests of the other backends find it"
SURVIVORS = {
    "keys.: 256 -> 255": _NO_SUCH_BYTE,
    "keys.: 256 -> 257": _NO_SUCH_BYTE,
    "keys.Prefix.before: 0 -> -1": _NO_SUCH_END,
    "keys.Prefix.before: 1 -> 0 (3)": _NO_SUCH_END,
    "keys.Prefix.before: 1 -> 2 (3)": _NO_SUCH_END,
    "memory.: 0 -> -1": _MARK,
    "memory.: 0 -> 1": _MARK,
    "memory.: 18 -> 17": _CHUNK,
    "memory.: 18 -> 19": _CHUNK,
    "memory.: 2 -> 3": _CHUNK,
    "memory.MemoryBackend.__repr__: return 'MemoryBackend()' -> return": "tests/unit/test_reprs.py asks for it",
    "memory.MemoryBackend.commit: drop kept.forget()": _KEPT,
    "memory.MemoryBackend.commit: not (effect.fresh) (2)": _KEPT,
    "memory.MemoryBackend.sweep: drop kept.entries.clear()": _GONE,
    "memory.MemoryBackend.sweep: drop kept.forget()": _KEPT,
    "memory.MemoryBackend.sweep: drop kept.links.clear()": _GONE,
    "memory.MemoryBackend.wait: drop waiting.remove(news)": "it leaks: tests/crash/test_processes.py counts it",
    "memory.MemoryBackend.wait: left <= 0 -> left < 0": "the clock never stands at that nanosecond",
    "memory._Stream._lives: known.next > lowest -> known.next >= lowest": _KEPT,
    "memory._Stream.forget: 0 -> -1 (2)": _KEPT,
    "memory._Stream.forget: 0 -> 1 (2)": _KEPT,
    "memory._Stream.forget: drop del self.operations[op_id]": _KEPT,
    "memory._Stream.remove: drop self.forget()": _KEPT,
    "semantics.check_entries: 0 -> -1 (2)": "the stores refuse a limit below 0",
    "semantics.apply: 1 -> 2": "a revision grows by any step; callers compare it for equality",
    "semantics.apply: True -> False": _GONE,
    "semantics.: True -> False": _SOUND,
    "semantics.ends_damaged: return change == _DELETE -> return": _SOUND,
    "semantics.ends_damaged: change == _DELETE -> change != _DELETE": _SOUND,
    "semantics._copied:  for start, stop in ranges if start < stop ->  for start, stop in ranges": _EMPTY,
    "semantics._copied: start < stop -> start <= stop": _EMPTY,
}
