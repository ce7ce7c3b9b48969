"""Conversations, the same for every contender: made-up ones that look like an agent's, and real ones where they are."""

from __future__ import annotations

import json
import os
import random
from itertools import chain, islice
from pathlib import Path
from typing import Any

__all__ = ["WORDS", "conversation", "messages", "one_conversation"]

Message = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]

_TEXT = """
    the invoice from March shows a difference of twelve euros between what was ordered and what was delivered so I
    looked at the shipping notes and found that two boxes were returned because their labels could not be read at
    customs please check whether we should ask for a refund or wait until next week when they answer our letter
    naïve café über 東京 → résumé
"""
WORDS = _TEXT.split()

_TOOLS = ("search_orders", "read_file", "get_weather", "run_query", "send_mail")


def _text(dice: random.Random, words: int) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(max(2, words))).capitalize() + "."


def _call(dice: random.Random) -> dict[str, Any]:
    arguments = json.dumps({"query": _text(dice, dice.randint(3, 9)), "limit": dice.randint(1, 50)}, ensure_ascii=False)
    name = dice.choice(_TOOLS)
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{dice.getrandbits(96):024x}", "type": "function", "function": function}


def conversation(length: int, seed: int = 1) -> list[Message]:
    """Make `length` chat messages, the same for the same seed: a user, at times tools, an assistant, in turns.

    The median message is about 250 bytes of JSON; one in a hundred is a tool's answer of several kilobytes.
    """
    dice = random.Random(seed)
    messages: list[Message] = [{"role": "system", "content": "You are a helpful assistant. " + _text(dice, 60)}]
    while len(messages) < length:
        messages.append({"role": "user", "content": _text(dice, round(dice.lognormvariate(3.55, 0.5)))})
        if dice.random() < 0.4:
            calls = [_call(dice) for _ in range(dice.choice((1, 1, 2)))]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            for call in calls:
                words = 900 if dice.random() < 0.05 else round(dice.lognormvariate(3.4, 0.7))
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": _text(dice, words)})
        messages.append({"role": "assistant", "content": _text(dice, round(dice.lognormvariate(3.9, 0.6)))})
    return messages[:length]


def one_conversation(length: int) -> list[Message]:
    """Return one long conversation: real messages behind one another, if the folder of `STOWFAST_DATA` has some."""
    path = Path(os.environ.get("STOWFAST_DATA", ROOT.parent / "shared" / "data")) / "airline-conversations.jsonl"
    if not path.is_file():
        return conversation(length)
    lines = path.read_text(encoding="utf-8").splitlines()
    said = enumerate(chain.from_iterable(json.loads(line)["messages"] for line in lines))
    instructed_once = (message for number, message in said if number == 0 or message["role"] != "system")
    return list(islice(instructed_once, length))


def messages(count: int, tag: str = "") -> list[Message]:
    """Make chat messages of about 1 KB of JSON each, no two alike.

    zlib compresses them to two fifths, as real ones: ids stand among the words, as tools return them.
    """
    dice = random.Random(tag)
    made: list[Message] = []
    for number in range(count):
        words = dice.choices(WORDS, k=120)
        words[::6] = [f"{dice.getrandbits(64):x}" for _ in words[::6]]
        role = "assistant" if number % 2 else "user"
        made.append({"role": role, "content": f"{tag}{number}: {' '.join(words)}"})
    return made
