"""Ids of frameworks, joined to one id of Stowfast: no id of a framework leads into another's, with any characters."""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from urllib.parse import quote

from stowfast.errors import InvalidError

__all__ = ["joined", "storage_id"]

_SAFE: Final = "!$&'()*+,:;=@"
_MAX_PART_BYTES: Final = 250
_KEPT_BYTES: Final = 180


def joined(*parts: str) -> str:
    """Return parts as one id, with slashes between them: the ids below `joined("a", "b", "")` are those of `a` and `b`.

    Each part is percent-encoded, NUL and lone surrogates included. A part of over 250 bytes keeps its first 180 and
    ends with its SHA-256, so four parts always fit into an id. Two lists of parts never give the same id.

    Raises:
        InvalidError: a part is not text.
    """
    return "/".join(_quoted(part) for part in parts)


def storage_id(key: str) -> str:
    """Return the id of the artifact of a key of Strands' storage. A slash stays: a prefix of keys is one of ids."""
    return "strands_storage/" + quote(key, safe="/" + _SAFE, errors="surrogatepass")


def _quoted(part: str) -> str:
    if not isinstance(part, str):
        raise InvalidError(f"an id must be a str, not {type(part).__name__}")
    text = quote(part, safe=_SAFE, errors="surrogatepass")
    if len(text) <= _MAX_PART_BYTES:
        return text
    # Percent-encoding never gives "%-".
    return f"{text[:_KEPT_BYTES]}%-{sha256(part.encode(errors='surrogatepass')).hexdigest()}"
