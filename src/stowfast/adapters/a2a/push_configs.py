"""A2A's push notification configurations: a document for each task, with the configurations of all its owners."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stowfast.adapters.closing import WithClose
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError, DamagedError, InvalidError
from stowfast.names import new_id

with extra("a2a"):
    from a2a.server.owner_resolver import OwnerResolver, resolve_user_scope
    from a2a.server.tasks.push_notification_config_store import (
        PushNotificationConfigStore,
        normalize_push_notification_config,
    )
    from a2a.types.a2a_pb2 import TaskPushNotificationConfig
    from a2a.utils.proto_utils import parse_lenient
    from cryptography.fernet import Fernet, InvalidToken
    from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from a2a.server.context import ServerCallContext

    from stowfast import sync
    from stowfast.records import Document
    from stowfast.stores import Stores

__all__ = ["StowfastPushNotificationConfigStore"]


_logger: Final = logging.getLogger(__name__)


class StowfastPushNotificationConfigStore(WithClose, PushNotificationConfigStore):
    """Push notification configurations in any backend of Stowfast. They hold URLs and tokens of the callers.

    With a key each configuration is encrypted together with its owner, its task and its id (Fernet of `cryptography`:
    AES-128-CBC and HMAC-SHA256). So a stored value that was moved to another place, changed, or put there in plain is
    an error, and never a webhook. The key itself is in no log, no repr and no error.

    A change that was acknowledged stays, beside changes of others at the same time.

    Args:
        stores: a URL, or open stores of either face.
        encryption_key: 32 bytes as URL-safe Base64, as `cryptography.fernet.Fernet.generate_key()` makes them; None:
            configurations are stored in plain.
        owner_resolver: returns the owner of a call; A2A's own returns the name of the user.
        scope: the scope of these stores to use.
        within: the time for repeats after a lost answer; see `stowfast.wrappers.Patient`.
        options: options for the URL.

    Raises:
        InvalidError: the key is none, `stores` is neither a URL nor open stores, or an option is wrong.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        encryption_key: str | bytes | None = None,
        owner_resolver: OwnerResolver = resolve_user_scope,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)
        self._owner_of = owner_resolver
        self._fernet = None if encryption_key is None else _fernet(encryption_key)

    async def set_info(
        self, task_id: str, notification_config: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Store a configuration, new or in place of one with its id, and return it as stored.

        Raises:
            UnavailableError: no answer. It may be stored.
        """
        config = normalize_push_notification_config(task_id, notification_config)
        owner = self._owner_of(context)
        stored = self._stored(owner, config)

        def put(document: Document) -> None:
            configs = document.data.setdefault(owner, {})
            configs.pop(config.id, None)  # the last one that was set is the last of the list
            configs[config.id] = stored

        stores = await self._opener.open()
        await stores.documents.update(_document(task_id), put, default={}, op_id=new_id())
        return config

    async def get_info(self, task_id: str, context: ServerCallContext) -> list[TaskPushNotificationConfig]:
        """Return the configurations of a task that belong to the caller.

        Raises:
            InvalidError: there is no key for one of them, it is stored in plain and this store has a key, or it was
                encrypted with another key. Set it again, or delete it.
        """
        owner = self._owner_of(context)
        configs = (await self._all(task_id)).get(owner, {})
        return [self._config(task_id, owner, config_id, stored) for config_id, stored in configs.items()]

    async def get_info_for_dispatch(self, task_id: str) -> list[TaskPushNotificationConfig]:
        """Return the configurations of a task, of all owners, in one read.

        Those for which `get_info` raises are left out and logged as errors: one of them keeps no other from its
        notifications.
        """
        usable = []
        for owner, configs in (await self._all(task_id)).items():
            for config_id, stored in configs.items():
                try:
                    usable.append(self._config(task_id, owner, config_id, stored))
                except (InvalidError, DamagedError) as error:
                    _logger.error("no notification is sent: %s", error)
        return usable

    async def delete_info(self, task_id: str, context: ServerCallContext, config_id: str | None = None) -> None:
        """Delete one configuration of the caller, or all that the caller has for a task. An unknown one is fine."""
        stores, document_id = await self._opener.open(), _document(task_id)
        drop = partial(_drop, self._owner_of(context), config_id)
        while (found := await stores.documents.get(document_id)) is not None and drop(found):
            try:
                if found.data:
                    await stores.documents.put(document_id, found.data, expect=found)
                else:
                    await stores.documents.delete(document_id, expect=found)
            except ConflictError:
                continue
            return

    async def _all(self, task_id: str) -> dict[str, dict[str, Any]]:
        stores = await self._opener.open()
        found = await stores.documents.get(_document(task_id))
        return {} if found is None else found.data

    def _stored(self, owner: str, config: TaskPushNotificationConfig) -> dict[str, Any]:
        plain = {"owner": owner, "config": MessageToDict(config)}
        if self._fernet is None:
            return {"plain": plain}
        return {"encrypted": self._fernet.encrypt(msgspec.json.encode(plain)).decode()}

    def _config(self, task_id: str, owner: str, config_id: str, stored: dict[str, Any]) -> TaskPushNotificationConfig:
        where = f"push notification config {config_id!r} of task {task_id!r}"
        plain = self._plain(stored, where)
        config = parse_lenient(plain["config"], TaskPushNotificationConfig())
        if (plain["owner"], config.task_id, config.id) != (owner, task_id, config_id):
            raise DamagedError(f"{where} was stored for another owner, task or id")
        return config

    def _plain(self, stored: dict[str, Any], where: str) -> dict[str, Any]:
        if self._fernet is None:
            if "plain" not in stored:
                raise InvalidError(f"{where} is encrypted: give its key to this store")
            found: dict[str, Any] = stored["plain"]
            return found
        if "encrypted" not in stored:
            raise InvalidError(f"{where} is stored in plain, and this store has a key: set it again, or delete it")
        try:
            found = msgspec.json.decode(self._fernet.decrypt(stored["encrypted"]))
        except InvalidToken as error:
            raise InvalidError(f"{where} was encrypted with another key, or was changed") from error
        return found


def _fernet(key: str | bytes) -> Fernet:
    try:
        return Fernet(key)
    except (ValueError, TypeError):
        # Without the driver's error, which may show a part of the key.
        raise InvalidError("encryption_key is none: give one of cryptography.fernet.Fernet.generate_key()") from None


def _document(task_id: str) -> str:
    return joined("a2a", "push", task_id)


def _drop(owner: str, config_id: str | None, document: Document) -> bool:
    """Remove configurations from a document, and return True if it had any of them."""
    configs = document.data.get(owner, {})
    had = bool(configs) if config_id is None else config_id in configs
    if config_id is None:
        configs.clear()
    else:
        configs.pop(config_id, None)
    if not configs:
        document.data.pop(owner, None)
    return had
