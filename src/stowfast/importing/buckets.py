"""A prefix of a bucket as a folder of files, over our own driver. Only GET and LIST are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.backends.objects.driver.failures import BehindEndError
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.protocol.requests import Get
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from typing import Any

    from stowfast.backends.objects.driver.store import BucketClient

__all__ = ["Bucket", "open_bucket"]


class Bucket:
    """A prefix of a bucket, with the methods of `Folder`.

    Raises:
        UnavailableError: each method, if the bucket gives no answer within its `timeout`.
    """

    def __init__(self, store: BucketClient, prefix: str, name: str) -> None:
        self._store = store
        self._prefix = prefix
        self.name = name

    def below(self, *names: str) -> Bucket:
        """Return the prefix below this one."""
        path = "/".join(names)
        return Bucket(self._store, f"{self._prefix}{path}/", f"{self.name}/{path}")

    def names(self, prefix: str, suffix: str = "") -> Iterator[str]:
        """Yield the parts between prefix and suffix of the names with both, in order of these parts."""
        names = {path.rpartition("/")[2] for path in self._store.reader.level(self._prefix)}
        chosen = (one for one in names if one.startswith(prefix) and one.endswith(suffix))
        yield from sorted(one[len(prefix) : len(one) - len(suffix)] for one in chosen)

    def has(self, name: str) -> bool:
        """Tell whether there is something of this name."""
        return name in self.names("")

    def read(self, name: str) -> bytes:
        """Return the content of an object.

        Raises:
            InvalidError: there is none, or it has over 64 MiB.
        """
        try:
            found = self._store.perform(Get(self._prefix + name, stop=MAX_ENTRY_BYTES + 1))
        except BehindEndError:  # no byte is there to begin with
            return b""
        if found is None:
            raise InvalidError(f"{name} does not exist")
        if found.size > MAX_ENTRY_BYTES:
            raise InvalidError(f"{name} has over {MAX_ENTRY_BYTES:,} bytes")
        body: bytes = found.body
        return body


def open_bucket(address: str, options: dict[str, Any], stack: ExitStack) -> Bucket:
    """Return the bucket of a URL and its options. The stack closes it.

    Raises:
        InvalidError: an option is wrong, or this process was forked from one that had opened object storage.
    """
    store = open_store(address, **options)
    stack.callback(store.close)
    return Bucket(store, "", store.place.url)
