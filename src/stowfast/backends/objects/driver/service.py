"""The common part of all clouds: an address, and a driver that waits and repeats."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Driver

    from stowfast.backends.objects.driver.options import Options

__all__ = ["Cloud", "Connect", "check_endpoint", "client_options", "retry_config"]

_IDLE: Final = timedelta(seconds=8)  # before a server or a proxy closes it: what is sent just then is in doubt
_UNSAFE: Final = re.compile(r"[\s\"<>\\^`{|}]")


class Connect(Protocol):
    """Makes a driver for a place."""

    def __call__(self, repeat: timedelta, patience: timedelta, *, single: bool = False) -> Driver:
        """Make a driver.

        Args:
            repeat: seconds for which a failed request is sent again. 0: it is sent once.
            patience: seconds to wait for an answer.
            single: remove keys one by one, if the service has a choice.
        """
        ...


class Cloud(Protocol):
    """Where a bucket is, and how to get in."""

    endpoint: str | None
    """The address of the service, where it is not the cloud's own."""
    secrets: list[str | None]
    """Texts that must never be shown."""
    remedy: str
    """The advice for missing or refused credentials."""
    bundle: str | None
    """Path of certificates to trust beside the system's."""
    pace: float
    """Minimum seconds between two changes of one key on this cloud."""

    @property
    def connect(self) -> Connect:
        """Makes a driver for it."""
        ...


def check_endpoint(url: str | None) -> str | None:
    """Return the address of a service without a slash at its end.

    Raises:
        InvalidError: it is no address. The driver would end the thread with a panic.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise InvalidError("the endpoint is no address: write https://host or http://127.0.0.1:9000") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidError("the endpoint has a user, a password, a ? or a #: write https://host:port alone")
    if not fine or not url.isascii() or not url.isprintable() or _UNSAFE.search(url):
        raise InvalidError("the endpoint is no address: write https://host or http://127.0.0.1:9000")
    return url.rstrip("/")


def client_options(options: Options, patience: timedelta, endpoint: str | None, bundle: str | None) -> ClientConfig:
    """Return the driver's client options: `bundle` is the path of certificates to trust."""
    client: ClientConfig = {
        "allow_http": bool(endpoint) and str(endpoint).startswith("http:"),
        "connect_timeout": min(timedelta(seconds=options.connect_timeout), patience),
        # Until the headers of an answer. It begins anew with each byte of the body, so it does not bound that.
        "read_timeout": patience,
        # The body too. A larger one is continued where this ends it: see `bodies`.
        "timeout": 2 * patience,
        "pool_idle_timeout": _IDLE,
    }
    if bundle:
        try:
            client["root_certificate"] = Path(bundle).expanduser().read_bytes()
        except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user that is unknown
            failed = getattr(error, "strerror", None) or "there is no such user"
        else:
            return client
        raise InvalidError(f"ca_bundle= or AWS_CA_BUNDLE: the file cannot be read: {failed}")
    return client


def retry_config(repeat: timedelta) -> RetryConfig:
    """Return how the driver repeats a failed request: for so long, or not at all."""
    return {
        "max_retries": 10 if repeat else 0,
        "retry_timeout": repeat,
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
