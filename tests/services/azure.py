"""The Azure blob storage of the tests: Azurite, if it can be installed."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tests.services import azurite
from tests.services.process import ServiceError
from tests.services.shared import begin, folder_of, locked, share

CONTAINER = "stowfast"
# Whatever else the machine says about Azure would speak of another account.
OTHER = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_CLIENT_ID", "AZURE_STORAGE_ENDPOINT")


@dataclass(frozen=True)
class AzureServer:
    """A running server, and one of its containers."""

    endpoint: str

    def url(self, prefix: str | None = None) -> str:
        """As Stowfast takes it; without a prefix, of a place where nobody has been."""
        return f"az://{CONTAINER}/{quote(prefix or uuid.uuid4().hex)}?{urlencode({'endpoint_url': self.endpoint})}"

    @property
    def environment(self) -> dict[str, str | None]:
        """The environment variables of the tests that use it; None removes one."""
        account = {"AZURE_STORAGE_ACCOUNT_NAME": azurite.ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": azurite.KEY}
        return {**account, **dict.fromkeys(OTHER)}


def missing() -> str | None:
    """The missing part of this machine, or None."""
    return None if azurite.can_install() else azurite.NEEDED


def prepare() -> None:
    """Begin the start, so the server is ready for the first test. An error here fails that test."""
    with suppress(ServiceError):
        with locked(folder_of("install.lock")):
            azurite.install()
        begin("azurite")


def connect() -> AzureServer:
    """The server of this run, started by the first request for it."""
    endpoint = share("azurite")
    azurite.create_container(CONTAINER, endpoint)
    return AzureServer(f"{endpoint}/{azurite.ACCOUNT}")
