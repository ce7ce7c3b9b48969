"""What is saved: seven tasks, each as the JSON texts of its versions, the same for every encoding."""

from __future__ import annotations

import base64
import json
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench import workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["WORKLOADS", "real"]

_FOLDER = Path(os.environ.get("STOWFAST_DATA", Path(__file__).parents[3] / "shared" / "data"))
_FILE = _FOLDER / "airline-conversations.jsonl"
_RECORDS = 1_000
"""In the state of 1 MB, each about 1 KB."""

_encode = msgspec.json.encode


def real() -> bool:
    """Say whether the real conversations are here; others are made up where they are not."""
    return _FILE.is_file()


def _messages() -> list[dict[str, Any]]:
    """Messages of an agent's conversations, one after the other, without the instructions they all begin with."""
    if not real():
        return workloads.conversation(2_000)
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    found = [message for line in lines for message in json.loads(line)["messages"]]
    return [message for number, message in enumerate(found) if number == 0 or message["role"] != "system"]


class _Prose:
    """Text without end that has the words of the conversations, each after a word that it follows there.

    There is not enough real text to change a state of 1 MB a thousand times, and using it twice would let every
    encoding find what it has already.
    """

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._after: dict[str, list[str]] = {}
        words = " ".join(str(message.get("content") or "") for message in _messages()).split()
        for word, following in pairwise(words):
            self._after.setdefault(word, []).append(following)
        self._word = words[0]

    def write(self, size: int) -> str:
        """Return about so many characters, more or less."""
        size = self._dice.randint(size * 3 // 4, size * 5 // 4)
        words, length = [], 0
        while length < size:
            self._word = self._dice.choice(self._after.get(self._word) or list(self._after))
            words.append(self._word)
            length += len(self._word) + 1
        return " ".join(words)


def conversation(saves: int) -> Iterator[bytes]:
    """One message more at each save."""
    messages = _messages()
    for number in range(saves):
        yield _encode({"messages": messages[: number + 1]})


def _large(
    saves: int, write: Callable[[int], str], change: Callable[[list[Any], Callable[[], Any]], None]
) -> Iterator[bytes]:
    numbers = iter(range(10**9))

    def record() -> dict[str, Any]:
        return {"id": next(numbers), "text": write(1_000), "done": False}

    records = [record() for _ in range(_RECORDS)]
    for number in range(saves):
        yield _encode({"step": number, "records": records})
        change(records, record)


def text_in_place(saves: int) -> Iterator[bytes]:
    """1 MB of text in a thousand records, of which a save has one that is new, in the place of another."""
    dice = random.Random(2)

    def change(records: list[Any], record: Callable[[], Any]) -> None:
        records[dice.randrange(len(records))] = record()

    return _large(saves, _Prose(dice).write, change)


def text_shifted(saves: int) -> Iterator[bytes]:
    """The same, where one record goes and another comes elsewhere: all that is between moves."""
    dice = random.Random(3)

    def change(records: list[Any], record: Callable[[], Any]) -> None:
        del records[dice.randrange(len(records))]
        records.insert(dice.randrange(len(records) + 1), record())

    return _large(saves, _Prose(dice).write, change)


def text_scattered(saves: int) -> Iterator[bytes]:
    """The same, with twenty small changes of 50 bytes all over it."""
    dice = random.Random(4)
    prose = _Prose(dice)

    def change(records: list[Any], _: Callable[[], Any]) -> None:
        for one in dice.sample(records, 20):
            at = dice.randrange(len(one["text"]) - 50)
            one["text"] = one["text"][:at] + prose.write(50) + one["text"][at + 50 :]

    return _large(saves, prose.write, change)


def noise_in_place(saves: int) -> Iterator[bytes]:
    """1 MB of what does not compress, in Base64, changed as `text_in_place`."""
    dice = random.Random(5)

    def write(size: int) -> str:
        return base64.b64encode(dice.randbytes(dice.randint(size * 3 // 4, size * 5 // 4) * 3 // 4)).decode()

    def change(records: list[Any], record: Callable[[], Any]) -> None:
        records[dice.randrange(len(records))] = record()

    return _large(saves, write, change)


def blob(saves: int) -> Iterator[bytes]:
    """An image of 800 KB that stays, in Base64, and a counter."""
    image = base64.b64encode(random.Random(6).randbytes(600_000)).decode()
    for number in range(saves):
        yield _encode({"status": "working", "step": number, "image": image, "cost": round(number * 0.0137, 4)})


def small(saves: int) -> Iterator[bytes]:
    """A state of 2 KB: a counter, a plan whose steps get done, a note that is written anew."""
    dice = random.Random(7)
    prose = _Prose(dice)
    plan = [{"id": number, "what": prose.write(60), "status": "open"} for number in range(16)]
    for number in range(saves):
        yield _encode({"step": number, "plan": plan, "note": prose.write(120), "cost": round(number * 0.0137, 4)})
        dice.choice(plan)["status"] = dice.choice(("open", "working", "done"))


def agent(saves: int) -> Iterator[bytes]:
    """What a framework keeps of an agent: messages, a scratch pad, outputs of tools that come and go, counters."""
    dice = random.Random(8)
    prose, messages = _Prose(dice), _messages()
    outputs: dict[str, Any] = {}
    scratch: dict[str, Any] = {"goal": prose.write(400), "plan": [], "facts": {}}
    for number in range(saves):
        if number % 3 == 0:
            rows = [
                {
                    "flight": f"HAT{dice.randrange(300):03}",
                    "seats": dice.randrange(20),
                    "price": dice.randrange(50, 500),
                }
                for _ in range(dice.randint(5, 60))
            ]
            outputs[f"call_{dice.getrandbits(64):016x}"] = {"rows": rows, "summary": prose.write(300)}
        if len(outputs) > 12:
            del outputs[dice.choice(list(outputs))]
        scratch["plan"] = [*scratch["plan"][-9:], {"what": prose.write(80), "done": bool(dice.getrandbits(1))}]
        scratch["facts"][f"fact-{dice.randrange(40)}"] = prose.write(60)
        yield _encode(
            {
                "messages": messages[: number + 1],
                "scratch": scratch,
                "tools": {"outputs": outputs, "calls": number},
                "usage": {"input": number * 3_127, "output": number * 211, "cost": round(number * 0.0137, 4)},
                "node": dice.choice(("plan", "act", "reflect")),
            }
        )


WORKLOADS: dict[str, tuple[Callable[[int], Iterator[bytes]], int]] = {
    "conversation": (conversation, 300),
    "agent": (agent, 300),
    "small": (small, 1_000),
    "text in place": (text_in_place, 1_000),
    "text shifted": (text_shifted, 1_000),
    "text scattered": (text_scattered, 1_000),
    "noise in place": (noise_in_place, 1_000),
    "blob": (blob, 1_000),
}
"""Each with how often it is saved."""
