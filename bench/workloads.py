"""What is measured: conversations that look like an agent's, and how much of them each workload takes."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

__all__ = ["CONVERSATION", "FULL", "QUICK", "WORDS", "Sizes", "conversation"]

CONVERSATION = "conversation-1"
"""The conversation that single-conversation workloads use, in every contender."""

Message = dict[str, Any]


class Sizes(NamedTuple):
    """How much work a round is. A budget in seconds ends a timed loop early, so that a slow contender costs a few
    samples and not the patience of whoever runs this; medians and rates do not depend on the count."""

    appends: int = 1_000
    append_budget: float = 0.4
    appenders: int = 64
    appenders_budget: float = 0.6
    history: int = 10_000
    loads: int = 5
    load_budget: float = 1.0
    lasts: int = 200
    last: int = 20
    last_budget: float = 0.6
    warm_up: int = 1_200
    """Past the first checkpoint. Until then SQLite's log grows, and a commit that makes a file longer costs the disk
    twice; a short run would measure that, and whose log is folded back first."""
    on_disk: int = 1_000
    imports: int = 15


FULL = Sizes()
QUICK = Sizes(appends=400, append_budget=0.2, appenders_budget=0.3, loads=3, lasts=60, last_budget=0.3, imports=7)

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
    """Make the same `length` chat messages for the same seed: turns of a user, now and then a tool, an assistant.

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
