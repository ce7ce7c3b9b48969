"""Google Cloud Storage: how it is addressed, and where its credentials come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.store import GCSStore

from stowfast.backends.objects.driver.service import check_endpoint, client_options, retry_config
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from datetime import timedelta

    from obstore.store import ObjectStore as Driver

    from stowfast.backends.objects.driver.options import Options

__all__ = ["Google"]


class Google:
    """Google Cloud Storage."""

    pace = 1.05  # one change of an object a second is what it allows

    def __init__(self, bucket: str, prefix: str, options: Options) -> None:
        self.endpoint = check_endpoint(options.endpoint_url or os.environ.get("GOOGLE_BASE_URL"))
        self.secrets: list[str | None] = [
            os.environ.get("GOOGLE_SERVICE_ACCOUNT_KEY"),
            os.environ.get("GOOGLE_BEARER_TOKEN"),
        ]
        self.remedy = (
            "check the credentials (application_credentials=, service_account=, GOOGLE_APPLICATION_CREDENTIALS, "
            "`gcloud auth application-default login`, or the machine's service account), and that they have the role "
            "Storage Object User here"
        )
        if options.service_account and options.application_credentials:
            raise InvalidError("service_account= and application_credentials= exclude each other: give one of them")
        self.bundle = options.ca_bundle
        self._bucket = bucket
        self._prefix = prefix
        self._options = options
        self._config: dict[str, Any] = {}
        if options.anonymous:
            # The driver's own way to do without a signature is for reading alone.
            self._config["credential_provider"] = lambda: {"token": "anonymous", "expires_at": None}
        if self.endpoint:
            self._config["base_url"] = self.endpoint
        for name in ("service_account", "application_credentials"):
            if path := getattr(options, name):
                if not _is_file(path):
                    raise InvalidError(f"{name}: there is no file of this name")
                self._config[name] = str(Path(path).expanduser())

    def connect(self, repeat: timedelta, patience: timedelta, *, single: bool = False) -> Driver:
        """Make a driver, as `Connect` says."""
        return GCSStore(
            self._bucket,
            prefix=self._prefix or None,
            client_options=client_options(self._options, patience, self.endpoint, self.bundle),
            retry_config=retry_config(repeat),
            **self._config,
        )


def _is_file(path: str) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except (OSError, RuntimeError):  # too long for a name; or ~ of a user that is unknown
        return False
