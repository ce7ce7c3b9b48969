"""The rules of retention without await."""

from __future__ import annotations

from stowfast import stores
from stowfast.sync.faces import Face, call, iterate

__all__ = ["Rules"]


class Rules(Face):
    """`stowfast.Rules` without await."""

    set = call(stores.Rules.set)
    list = call(stores.Rules.list)
    remove = call(stores.Rules.remove)
    due = iterate(stores.Rules.due)
    carry_out = iterate(stores.Rules.carry_out)
