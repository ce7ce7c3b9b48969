"""Conversations without await."""

from __future__ import annotations

from stowfast import stores
from stowfast.sync.faces import Face, call, iterate

__all__ = ["Messages"]


class Messages(Face):
    """`stowfast.Messages` without await."""

    add_message = call(stores.Messages.add_message)
    add_messages = call(stores.Messages.add_messages)
    get_messages = call(stores.Messages.get_messages)
    read = call(stores.Messages.read)
    entries = iterate(stores.Messages.entries)
    watch = iterate(stores.Messages.watch)
    count = call(stores.Messages.count)
    pop_message = call(stores.Messages.pop_message)
    replace_messages = call(stores.Messages.replace_messages)
    fork = call(stores.Messages.fork)
    compact = call(stores.Messages.compact)
    delete = call(stores.Messages.delete)
    contexts = call(stores.Messages.contexts)
    info = call(stores.Messages.info)
    set_metadata = call(stores.Messages.set_metadata)
    update_metadata = call(stores.Messages.update_metadata)
    set_expiry = call(stores.Messages.set_expiry)
