"""Encryption of the bodies of entries, after their difference was taken."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from stowfast.adapters.extras import extra
from stowfast.adapters.langgraph.entries import encode_entry
from stowfast.errors import DamagedError, InvalidError

with extra("langgraph"):
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import CipherProtocol

    from stowfast.adapters.langgraph.entries import StoredCheckpoint, StoredWrites

__all__ = ["Seal", "serializer_and_cipher"]

E = TypeVar("E", bound="StoredCheckpoint | StoredWrites")

_BOUND_BYTES: Final = 16


def serializer_and_cipher(given: SerializerProtocol) -> tuple[SerializerProtocol, CipherProtocol | None]:
    """Return the serializer and, taken out of an `EncryptedSerializer`, its cipher.

    Encrypted values are new noise each time: as differences they would be as large as the values.

    Raises:
        InvalidError: it may use pickle.
    """
    serde: object = given
    cipher = None
    if isinstance(given, EncryptedSerializer):
        serde, cipher = given.serde, given.cipher
    if not isinstance(serde, SerializerProtocol) or getattr(serde, "pickle_fallback", False):
        raise InvalidError("the serializer may use pickle, so stored bytes could run code: give a JsonPlusSerializer")
    return serde, cipher


class Seal:
    """Encrypts each body together with a digest of its thread and of all other fields of its entry.

    With a cipher against changes, as AES in the modes EAX and GCM, an entry changed or moved to another thread or
    checkpoint is a DamagedError. Without a cipher, bodies stay plain.
    """

    def __init__(self, cipher: CipherProtocol | None) -> None:
        self._cipher = cipher

    def closed(self, thread: str, entry: E) -> E:
        """Return the entry with its body encrypted."""
        if self._cipher is None:
            return entry
        name, body = self._cipher.encrypt(_bound(thread, entry) + entry.body)
        return msgspec.structs.replace(entry, cipher=name, body=body)

    def body(self, thread: str, entry: StoredCheckpoint | StoredWrites, where: str) -> bytes:
        """Return the body of an entry in plain.

        Raises:
            DamagedError: it is plain although there is a key, it was changed or moved, or the key is another one.
            InvalidError: it is encrypted, and there is no key.
        """
        if self._cipher is None:
            if entry.cipher:
                raise InvalidError(f"{where}: it is encrypted: give the serializer with its key")
            return entry.body
        if not entry.cipher:
            raise DamagedError(f"{where}: it is not encrypted, although a key is set: it was not written with the key")
        try:
            plain = self._cipher.decrypt(entry.cipher, entry.body)
        except Exception as error:  # each cipher has errors of its own
            raise DamagedError(f"{where}: it does not decrypt: it was changed, or has another key") from error
        if plain[:_BOUND_BYTES] != _bound(thread, entry):
            raise DamagedError(f"{where}: it was written for another place")
        return plain[_BOUND_BYTES:]


def _bound(thread: str, entry: StoredCheckpoint | StoredWrites) -> bytes:
    rest = encode_entry(msgspec.structs.replace(entry, cipher="", body=b""))
    return blake2b(msgspec.msgpack.encode((thread, rest)), digest_size=_BOUND_BYTES).digest()
