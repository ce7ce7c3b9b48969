"""Clients of the faulty server: obstore's sync API only, for its async one aborts the interpreter at exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import S3Store

if TYPE_CHECKING:
    from tests.services.faulty_s3.server import FaultyS3


def obstore_of(server: FaultyS3, *, retries: int = 0, timeout: str = "20s") -> S3Store:
    return S3Store(
        server.bucket,
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id="somebody",
        secret_access_key="secret",
        client_options={"allow_http": True, "timeout": timeout},
        retry_config={"max_retries": retries},
    )


def put(store: S3Store, key: str, body: bytes, e_tag: str | None = None) -> str:
    """Write a key if it has this ETag. Return the new one."""
    result = obstore.put(store, key, body, mode="overwrite" if e_tag is None else {"e_tag": e_tag})
    assert result["e_tag"] is not None
    return result["e_tag"]


def read(store: S3Store, key: str, **options: Any) -> bytes:
    return bytes(obstore.get(store, key, options=options or None).bytes())  # type: ignore[arg-type]
