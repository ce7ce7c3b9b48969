"""Envelopes: the encrypted items of `EncryptedSession` of the OpenAI Agents SDK, release 0.24.0."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, UnsupportedError
from stowfast.importing.streams import object_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.importing.streams import Reader

__all__ = ["Envelopes"]

_FIELDS: Final = frozenset({"__enc__", "v", "kid", "payload"})
_KIND: Final = (1, "hkdf-v1")
_INFO: Final = b"agents.session-store.hkdf.v1"
_KEY_BYTES: Final = 32


class Envelopes:
    """Opens envelopes with a key. It is in no error and no repr.

    Args:
        key: the `encryption_key` of the sessions; None: envelopes are refused.
        keep: envelopes are items as they are.

    Raises:
        UnsupportedError: there is a key, and `cryptography` is missing.
        InvalidError: the key is empty.
    """

    def __init__(self, key: str | None, *, keep: bool = False) -> None:
        self._keep = keep
        self._make = None if key is None else _makers(key)

    def reader(self, session: str) -> Reader:
        """Return the function that makes an item of a row of a session, and takes the name of the item for errors."""
        cipher: Any = None

        def read(found: dict[str, Any], what: str) -> dict[str, Any]:
            nonlocal cipher
            if self._keep or found.get("__enc__") != 1 or not found.keys() >= _FIELDS:
                return found
            if self._make is None:
                raise InvalidError(
                    f"{what} is encrypted: give the key of its EncryptedSession; or keep its items encrypted"
                )
            if (found["v"], found["kid"]) != _KIND or not isinstance(found["payload"], str):
                raise InvalidError(f"{what} is encrypted in a way that is not known: by a later release?")
            cipher = cipher or self._make(session)
            return object_of(_opened(cipher, found["payload"], what), what)

        return read


def _makers(key: str) -> Callable[[str], Any]:
    """Return the function that makes the cipher of a session."""
    try:
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise UnsupportedError("encrypted items need cryptography: pip install 'stowfast[encrypted]'") from error
    main = _main_key(key)

    def make(session: str) -> Any:
        derived = HKDF(SHA256(), _KEY_BYTES, session.encode(), _INFO).derive(main)
        return Fernet(urlsafe_b64encode(derived))

    return make


def _main_key(key: str) -> bytes:
    """Return the bytes of a key as the SDK does: those of Base64 if they are 32, else those of its text."""
    if not key:
        raise InvalidError("the key is empty")
    with suppress(ValueError):
        found = urlsafe_b64decode(key)
        if len(found) == _KEY_BYTES:
            return found
    try:
        return key.encode()
    except UnicodeEncodeError:
        pass  # not as the cause: that error holds the key
    raise InvalidError("the key is no Unicode text")


def _opened(cipher: Any, payload: str, what: str) -> bytes:
    from cryptography.fernet import InvalidToken

    # Without a time to live: the file does not tell it, and a repeat would find other items than the first import.
    with suppress(InvalidToken):
        opened: bytes = cipher.decrypt(payload.encode(errors="replace"))
        return opened
    raise InvalidError(f"{what} is not opened by the key: it is that of another store, or the item was changed")
