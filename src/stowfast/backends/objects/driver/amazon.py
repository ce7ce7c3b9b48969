"""S3 and compatible services: their addresses and credentials."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from obstore.store import S3Store

from stowfast.backends.objects.driver.failures import Scrub
from stowfast.backends.objects.driver.service import check_endpoint, client_options, retry_config
from stowfast.errors import InvalidError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ObjectStore as Driver
    from obstore.store import S3Credential

    from stowfast.backends.objects.driver.options import Options

__all__ = ["Amazon"]

_REFRESH: Final = timedelta(minutes=5)  # boto3 renews credentials ten minutes before their end

_ROLES: Final = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


class Amazon:
    """S3 and compatible services."""

    def __init__(self, bucket: str, prefix: str, options: Options) -> None:
        found = options.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self.endpoint = check_endpoint(found)
        self.bundle = options.ca_bundle or os.environ.get("AWS_CA_BUNDLE")
        self._bucket = bucket
        self._prefix = prefix
        self._options = options
        host = urlsplit(self.endpoint).hostname or "" if self.endpoint else ""
        foreign = bool(host) and not re.search(r"\.amazonaws\.com(\.cn)?$", host)
        self.pace = 1.05 if host.endswith(".r2.cloudflarestorage.com") else 0.0  # one write a second to a key
        # A bucket with a dot has no certificate that fits it as a part of the host.
        path_style = options.path_style if options.path_style is not None else foreign or "." in bucket
        region, self._credentials = self._find_credentials(foreign)
        self._config: dict[str, Any] = {
            "region": region or "us-east-1",
            "conditional_put": "etag",
            "virtual_hosted_style_request": not path_style,
            "skip_signature": options.anonymous,
        }
        if self.endpoint:
            scheme, _, rest = self.endpoint.partition("://")
            # The one of the two that comes before the other, also where that stands in the environment.
            self._config["aws_endpoint_url_s3"] = self.endpoint if path_style else f"{scheme}://{bucket}.{rest}"
        elif bucket.endswith("--x-s3"):
            self._config["s3_express"] = True
        self._config |= _demanded(options)

    def connect(self, repeat: timedelta, patience: timedelta, *, single: bool = False) -> Driver:
        """Make a driver, as `Connect` says."""
        config = self._config | ({"disable_bulk_delete": True} if single else {})
        return S3Store(
            self._bucket,
            prefix=self._prefix or None,
            client_options=client_options(self._options, patience, self.endpoint, self.bundle),
            retry_config=retry_config(repeat),
            credential_provider=self._credentials,
            **config,
        )

    def _find_credentials(self, foreign: bool) -> tuple[str | None, Callable[[], S3Credential] | None]:
        options, environ = self._options, os.environ
        region = options.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        key, secret, token = options.access_key_id, options.secret_access_key, options.session_token
        if not key and not secret:
            if token:
                raise InvalidError("session_token= comes with access_key_id= and secret_access_key=: give all three")
            if not options.profile:
                key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
                token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_TOKEN")
        elif not key or not secret:
            raise InvalidError("access_key_id= and secret_access_key= come together: give both")
        elif options.profile:
            raise InvalidError("access_key_id= and profile= exclude each other: give one of them")
        self.secrets = [secret, token, options.access_key_id]
        self.remedy = (
            "check the keys (access_key_id= and secret_access_key=, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "profile=, or the machine's role), that they allow s3:GetObject, s3:PutObject, s3:DeleteObject and "
            "s3:ListBucket here (with read_only=true the first and the last), and whether the bucket demands "
            "server_side_encryption= or request_payer=true"
        )
        if options.anonymous:
            return region, None
        if key and secret:
            fixed: S3Credential = {
                "access_key_id": key,
                "secret_access_key": secret,
                "token": token,
                "expires_at": None,
            }
            return region, lambda: fixed
        profile = options.profile or environ.get("AWS_PROFILE")
        if profile or _has_aws_files():
            session_region, credentials = _profile(profile, needed=profile is not None)
            if credentials is not None:
                return region or session_region, credentials
        if foreign and not any(environ.get(name) for name in _ROLES):
            raise InvalidError(f"{self.endpoint}: no credentials were given: {self.remedy}")
        return region, None


def _has_aws_files() -> bool:
    names = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))
    return any(Path(os.environ.get(name) or default).expanduser().is_file() for name, default in names)


def _demanded(options: Options) -> dict[str, Any]:
    """Return what a bucket may demand of each request."""
    encryption = options.server_side_encryption or ("aws:kms" if options.sse_kms_key_id else None)
    if options.sse_kms_key_id and encryption == "AES256":
        raise InvalidError("sse_kms_key_id= is of KMS: give server_side_encryption=aws:kms with it, or none")
    wanted = {
        "server_side_encryption": encryption,
        "sse_kms_key_id": options.sse_kms_key_id,
        "checksum_algorithm": options.checksum_algorithm,
        "request_payer": options.request_payer or None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _profile(name: str | None, *, needed: bool) -> tuple[str | None, Callable[[], S3Credential] | None]:
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError, ProfileNotFound  # type: ignore[import-untyped]
        from botocore.session import Session  # type: ignore[import-untyped]
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if not needed:
            return None, None
        raise UnsupportedError("profile= needs boto3: pip install 'stowfast[aws]'") from None
    # The name is in no error: it may be a secret in the wrong place, and boto3 repeats it.
    try:
        session = boto3.Session(profile_name=name)
        if session.get_credentials() is None:
            if needed:
                raise InvalidError("profile= or AWS_PROFILE: it has no credentials: `aws configure --profile NAME`")
            return session.region_name, None
        return session.region_name, Boto3CredentialProvider(session, ttl=_REFRESH)
    except ProfileNotFound:
        known = ", ".join(Session().available_profiles) or "none"
        failed = f"profile= or AWS_PROFILE: ~/.aws has no profile of this name; it has {known}"
    except BotoCoreError as error:
        failed = f"profile= or AWS_PROFILE: it cannot be used: {Scrub([name])(str(error))}"
    raise InvalidError(failed)
