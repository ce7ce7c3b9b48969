"""Azure Blob Storage: how it is addressed, and where its credentials come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from obstore.store import AzureStore

from stowfast.backends.objects.driver.service import check_endpoint, client_options, retry_config
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from datetime import timedelta

    from obstore.store import ObjectStore as Driver

    from stowfast.backends.objects.driver.options import Options

__all__ = ["Azure"]

_SECRETS: Final = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
)


class Azure:
    """Azure Blob Storage. A bucket is called container there."""

    pace = 0.0

    def __init__(self, bucket: str, prefix: str, options: Options) -> None:
        environ = os.environ
        found = options.endpoint_url or environ.get("AZURE_STORAGE_ENDPOINT") or environ.get("AZURE_ENDPOINT")
        self.endpoint = check_endpoint(found)
        self.secrets: list[str | None] = [options.account_key, options.sas_token, *map(environ.get, _SECRETS)]
        self.remedy = (
            "check the credentials (account_key=, sas_token=, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or "
            "an identity with the role Storage Blob Data Contributor here)"
        )
        if options.account_key and options.sas_token:
            raise InvalidError("account_key= and sas_token= exclude each other: give one of them")
        if options.use_emulator and self.endpoint:
            raise InvalidError("use_emulator= knows its endpoint (AZURITE_BLOB_STORAGE_URL): give no endpoint_url=")
        account = options.account_name or environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account and not options.use_emulator:
            raise InvalidError("az: give account_name=, or set AZURE_STORAGE_ACCOUNT_NAME")
        self.bundle = options.ca_bundle
        self._bucket = bucket
        self._prefix = prefix
        self._options = options
        self._config: dict[str, Any] = {"skip_signature": options.anonymous, "use_emulator": options.use_emulator}
        if account:
            self._config["account_name"] = account
        if self.endpoint:
            self._config["endpoint"] = self.endpoint
        key: Any = None
        if options.account_key:
            key = {"access_key": options.account_key, "expires_at": None}
        elif options.sas_token:
            key = {"sas_token": options.sas_token.removeprefix("?"), "expires_at": None}
        if key is not None:
            self._config["credential_provider"] = lambda: key

    def connect(self, repeat: timedelta, patience: timedelta, *, single: bool = False) -> Driver:
        """Make a driver, as `Connect` says."""
        return AzureStore(
            self._bucket,
            prefix=self._prefix or None,
            client_options=client_options(self._options, patience, self.endpoint, self.bundle),
            retry_config=retry_config(repeat),
            **self._config,
        )
