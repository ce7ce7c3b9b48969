"""The options of a store, and their parsing from a URL's query."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.names import listed, number_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SCHEMES", "Options", "parse_options"]

_COMMON: Final = (
    "endpoint_url",
    "anonymous",
    "ca_bundle",
    "storage_class",
    "timeout",
    "connect_timeout",
    "pace",
    "linger",
    "read_only",
)

SCHEMES: Final = {
    "s3": (
        "region",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "profile",
        "path_style",
        "server_side_encryption",
        "sse_kms_key_id",
        "checksum_algorithm",
        "request_payer",
        *_COMMON,
    ),
    "gs": ("service_account", "application_credentials", *_COMMON),
    "az": ("account_name", "account_key", "sas_token", "use_emulator", *_COMMON),
}
"""The options of each scheme."""

_TRUE: Final = {"true", "1", "yes", "on"}
_FALSE: Final = {"false", "0", "no", "off"}


_FORMS: Final = {
    "region": (re.compile(r"[a-z0-9-]{1,40}"), "a region, such as eu-central-1"),
    "account_name": (re.compile(r"[a-z0-9]{1,24}"), "up to 24 lower-case letters and digits"),
    "storage_class": (re.compile(r"[A-Za-z_]{1,40}"), "a storage class, such as STANDARD_IA"),
    "server_side_encryption": (re.compile(r"AES256|aws:kms|aws:kms:dsse"), "AES256, aws:kms or aws:kms:dsse"),
    "checksum_algorithm": (re.compile(r"SHA256|CRC64NVME"), "SHA256 or CRC64NVME"),
}
"""The forms of some texts."""

_BOUNDS: Final = {"pace": (0.0, 3_600.0), "linger": (0.0, 1.0)}
"""The least and the most seconds, where they are not those of a time limit."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a store, from the URL's query or as keyword arguments. None: not given.

    Options not given come from the environment, as for the cloud's own tools, then from the machine's role.

    Every scheme:
        endpoint_url: the address of the service, if not the cloud's own. `http:` is allowed.
        anonymous: send requests without a signature.
        ca_bundle: path of PEM certificates to trust beside the system's (s3: or AWS_CA_BUNDLE).
        storage_class: of immutable objects: segments and blobs. Heads keep the bucket's default.
        timeout: about the seconds until a request without an answer has failed, its body included. A large body may
            take a second more for each 128 KiB. Larger on a slow line.
        connect_timeout: seconds for making a connection.
        pace: seconds between two commits to one object. 1.05 on Google and R2, which allow one a second; else 0.
        linger: seconds for which a commit waits for others of this process to its stream, to share their PUT: 0 to 1.
        read_only: write nothing, not even the self-test of the first call. Expiry is judged by this machine's clock.

    s3:
        region: or AWS_REGION, AWS_DEFAULT_REGION, the profile's; else us-east-1.
        access_key_id, secret_access_key, session_token: or AWS_ACCESS_KEY_ID and so on.
        profile: a name in ~/.aws, or AWS_PROFILE. Needs stowfast[aws].
        path_style: put the bucket into the path, not into the host. The default for an `endpoint_url` outside Amazon.
            The endpoint comes from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL too.
        server_side_encryption: the encryption that a bucket demands: AES256, or aws:kms with the account's own key.
        sse_kms_key_id: encrypt with this key of KMS.
        checksum_algorithm: SHA256 or CRC64NVME, sent with each upload. A bucket with Object Lock demands one.
        request_payer: the sender of a request pays for it, as some buckets demand.

    gs:
        service_account, application_credentials: path of a service account's key, or of other credentials. Or
            GOOGLE_SERVICE_ACCOUNT, GOOGLE_APPLICATION_CREDENTIALS, or the login of gcloud.

    az:
        account_name: or AZURE_STORAGE_ACCOUNT_NAME.
        account_key, sas_token: or AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, a managed or workload identity.
        use_emulator: of Azurite, on this machine.
    """

    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    path_style: bool | None = None
    server_side_encryption: str | None = None
    sse_kms_key_id: str | None = None
    checksum_algorithm: str | None = None
    request_payer: bool = False
    service_account: str | None = None
    application_credentials: str | None = None
    account_name: str | None = None
    account_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)
    use_emulator: bool = False
    anonymous: bool = False
    ca_bundle: str | None = None
    storage_class: str | None = None
    timeout: float = 30.0
    connect_timeout: float = 5.0
    pace: float | None = None
    linger: float = 0.0
    read_only: bool = False


def parse_options(scheme: str, given: dict[str, Any]) -> Options:
    """Parse options, which may be strings.

    Raises:
        InvalidError: the scheme has no such option, or its value is wrong. The error never shows a possible secret.
    """
    names = SCHEMES[scheme]
    if unknown := given.keys() - set(names):
        raise InvalidError(f"{scheme}: has no option {listed(unknown)}; it has {', '.join(names)}")
    kinds = {one.name: str(one.type) for one in fields(Options)}
    parsed = {name: _PARSERS[kinds[name]](name, value) for name, value in given.items() if value is not None}
    return Options(**parsed)


# No error shows a value: it may be a secret in the wrong place.


def _text(name: str, value: Any) -> str:
    if type(value) is not str:
        raise InvalidError(f"{name}: it is a text, not {type(value).__name__}")
    if not value or not value.isprintable():
        raise InvalidError(f"{name}: it is a text, not {'one with control characters' if value else 'an empty one'}")
    form, says = _FORMS.get(name, (None, ""))
    if form is not None and not form.fullmatch(value):
        raise InvalidError(f"{name}: it is {says}")
    return value


def _switch(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if type(value) is str else None
    if word not in _TRUE | _FALSE:
        raise InvalidError(f"{name}: it is true or false")
    return word in _TRUE


def _seconds(name: str, value: Any) -> float:
    seconds = number_of(value)
    least, most = _BOUNDS.get(name, (0.1, 3_600.0))
    if not least <= seconds <= most:
        raise InvalidError(f"{name}: it is a number of seconds from {least:g} to {most:g}")
    return seconds


_PARSERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "str | None": _text,
    "bool": _switch,
    "bool | None": _switch,
    "float": _seconds,
    "float | None": _seconds,
}
