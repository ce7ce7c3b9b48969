"""A prefix of a bucket as a folder of files, by obstore. Only GET and LIST are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Bucket", "open_bucket"]


class Bucket:
    """A prefix of a bucket, with the methods of `Folder`."""

    def __init__(self, store: Any, prefix: str, name: str) -> None:
        self._store = store
        self._prefix = prefix
        self.name = name

    def below(self, *names: str) -> Bucket:
        """Return the prefix below this one."""
        path = "/".join(names)
        return Bucket(self._store, f"{self._prefix}{path}/", f"{self.name}/{path}")

    def names(self, prefix: str, suffix: str = "") -> Iterator[str]:
        """Yield the parts between prefix and suffix of the names with both, in order of these parts."""
        import obstore

        found = _answered(lambda: obstore.list_with_delimiter(self._store, self._prefix))
        paths = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        names = {path.rstrip("/").rpartition("/")[2] for path in paths}
        chosen = (one for one in names if one.startswith(prefix) and one.endswith(suffix))
        yield from sorted(one[len(prefix) : len(one) - len(suffix)] for one in chosen)

    def has(self, name: str) -> bool:
        """Tell whether there is something of this name."""
        return name in self.names("")

    def read(self, name: str) -> bytes:
        """Return the content of an object.

        Raises:
            InvalidError: there is none, or it has over 64 MiB.
            UnavailableError: the bucket gives no answer.
        """
        import obstore

        try:
            found = _answered(lambda: obstore.get(self._store, self._prefix + name))
        except FileNotFoundError as error:
            raise InvalidError(f"{name} does not exist") from error
        if found.meta["size"] > MAX_ENTRY_BYTES:
            raise InvalidError(f"{name} has over {MAX_ENTRY_BYTES:,} bytes")
        return bytes(_answered(found.bytes))


def open_bucket(url: str) -> Bucket:
    """Return the bucket of a URL such as `s3://bucket/prefix?endpoint_url=...`.

    Raises:
        InvalidError: obstore is missing, or it refuses the URL.
    """
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise InvalidError("a source in a bucket needs obstore: pip install 'stowfast[s3]'") from error
    parts = urlsplit(url)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if "endpoint_url" in options:
        options["endpoint"] = options.pop("endpoint_url")
    plain: Any = {"allow_http": options.get("endpoint", "").startswith("http://")}
    try:
        store = S3Store(parts.netloc, client_options=plain, **options)
    except Exception as error:  # its errors have no class of their own below Exception
        raise InvalidError(f"the bucket {parts.netloc!r} cannot be opened: {type(error).__name__}") from error
    prefix = parts.path.strip("/")
    return Bucket(store, f"{prefix}/" if prefix else "", f"s3://{parts.netloc}/{prefix}")


def _answered(call: Any) -> Any:
    from obstore.exceptions import BaseError

    try:
        return call()
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise UnavailableError(f"the bucket gives no answer: {type(error).__name__}") from error
