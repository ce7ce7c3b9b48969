"""Documents without await."""

from __future__ import annotations

from stowfast import stores
from stowfast.sync.faces import Face, call

__all__ = ["Documents"]


class Documents(Face):
    """`stowfast.Documents` without await."""

    get = call(stores.Documents.get)
    put = call(stores.Documents.put)
    update = call(stores.Documents.update)
    delete = call(stores.Documents.delete)
    list = call(stores.Documents.list)
    set_expiry = call(stores.Documents.set_expiry)
