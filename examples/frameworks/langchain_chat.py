"""A LangChain chat that may be killed at any moment: start it, kill it, start it again.

    pip install 'stowfast[langchain]'
    python examples/frameworks/langchain_chat.py [URL]

The model is scripted and needs no network. A turn is a question with its answer, stored in one commit: so the next
start asks the first question without an answer, and no question is there twice.
"""

from __future__ import annotations

import sys
import time

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

from stowfast.adapters.langchain import StowfastChatMessageHistory

TURNS = 40


def main(url: str) -> None:
    """Begin the chat, or go on with it."""
    with StowfastChatMessageHistory("chat", url) as history:
        first = len(history.messages) // 2
        model = GenericFakeChatModel(messages=iter(AIMessage(f"answer {number}") for number in range(first, TURNS)))
        for number in range(first, TURNS):
            question = HumanMessage(f"question {number}")
            answer = model.invoke([*history.messages, question])
            time.sleep(0.05)  # what a model takes
            history.add_messages([question, answer])
            print("stored", number, flush=True)
        print("done", len(history.messages), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///chat.db")
