"""A chat history without await: what a script, a notebook or a web framework with threads needs.

python examples/chat_history.py
"""

from __future__ import annotations

import sys

import stowfast.sync


def main(url: str) -> None:
    with stowfast.sync.open(url) as stores:
        stores.messages.add_messages(
            "ann",
            [
                {"role": "user", "content": "What is the capital of Italy?"},
                {"role": "assistant", "content": "Rome."},
                {"role": "user", "content": "And of Spain?"},
                {"role": "assistant", "content": "Madrid."},
            ],
        )
        # The newest messages that fit what a model may read.
        for message in stores.messages.get_messages("ann", max_tokens=2_000):
            print(f"{message['role']:>9}: {message['content']}")
        # Undo the last answer, and try another.
        stores.messages.pop_message("ann")
        stores.messages.add_message("ann", {"role": "assistant", "content": "Madrid, since 1561."})
        print(f"{stores.messages.count('ann')} messages kept in {url}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///chat.db")
