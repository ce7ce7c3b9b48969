"""Many tenants in one backend: each request sees the stores of its tenant alone."""

from __future__ import annotations

import asyncio
import sys

import stowfast


def stores_of(stores: stowfast.Stores, tenant: str) -> stowfast.Scope:
    """Return the stores of the tenant that signed in. Take its name from the session, never from the request."""
    return stores.within(tenant)


async def main(url: str) -> None:
    async with stowfast.open(url) as stores:
        ada, bob = stores_of(stores, "ada-ltd"), stores_of(stores, "bob-inc")
        await ada.messages.add_message("chat-1", {"role": "user", "content": "Our secret plan"})
        await bob.messages.add_message("chat-1", {"role": "user", "content": "Hello"})  # the same id, another chat
        print("bob reads", await bob.messages.get_messages("chat-1"))
        print("bob lists", [chat.context_id for chat in await bob.messages.contexts()])

        await ada.delete_all()  # the contract ended
        print("left of ada", await ada.messages.count("chat-1"), "left of bob", await bob.messages.count("chat-1"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["sqlite:///tenants.db"]))
