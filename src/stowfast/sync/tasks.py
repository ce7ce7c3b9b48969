"""Task states without await."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast import stores
from stowfast.sync.faces import Face, call, iterate

if TYPE_CHECKING:
    from stowfast.records import Retention

__all__ = ["Tasks"]


class Tasks(Face):
    """`stowfast.Tasks` without await."""

    save = call(stores.Tasks.save)
    update = call(stores.Tasks.update)
    load = call(stores.Tasks.load)
    load_many = call(stores.Tasks.load_many)
    watch = iterate(stores.Tasks.watch)
    history = call(stores.Tasks.history)
    diff = call(stores.Tasks.diff)
    rewind = call(stores.Tasks.rewind)
    prune = call(stores.Tasks.prune)
    claim = call(stores.Tasks.claim)
    claim_next = call(stores.Tasks.claim_next)
    work = iterate(stores.Tasks.work)
    renew = call(stores.Tasks.renew)
    release = call(stores.Tasks.release)
    record = call(stores.Tasks.record)
    steps = call(stores.Tasks.steps)
    info = call(stores.Tasks.info)
    list = call(stores.Tasks.list)
    set_expiry = call(stores.Tasks.set_expiry)
    delete = call(stores.Tasks.delete)

    @property
    def retention(self) -> Retention:
        """The retention of tasks saved without one."""
        found: Retention = self._store.retention
        return found

    @retention.setter
    def retention(self, retention: Retention) -> None:
        self._store.retention = retention
