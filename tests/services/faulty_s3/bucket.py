"""The content of a bucket, and the possible differences of a store from Amazon's."""

from __future__ import annotations

import hashlib
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EtagForm = Literal["quoted", "unquoted", "either"]


@dataclass
class Quirks:
    """How the store differs from Amazon's. May be changed while it runs."""

    ignores_conditions: bool = False
    """A PUT ignores its If-Match and If-None-Match."""
    ignores_if_match: bool = False
    ignores_if_none_match: bool = False
    if_match_on_missing_succeeds: bool = False
    """A PUT with If-Match creates a missing key, as MinIO's did: issue 21526 there."""
    etag_form: EtagForm = "either"
    """The accepted form of a PUT's If-Match. Ceph's RADOS gateway 16 takes it unquoted only."""
    condition_of_delete: Literal["kept", "ignored", "refused"] = "kept"
    """A DELETE keeps its If-Match, as Amazon's does since 2025; or ignores it, as MinIO and Ceph 16; or is a 501."""
    whole_seconds: bool = False
    """A listing's times have no fraction, as Amazon's have none."""
    versioned: bool = False
    """Answers name a version; overwritten and deleted bodies can be read by their version."""
    ignores_ranges: bool = False
    """A GET answers with the whole body."""
    shifts_ranges: bool = False
    """A GET of a range answers with the bytes beside it, under the requested range."""
    ignores_if_none_match_on_get: bool = False
    """A GET answers with the body even if the client has it."""
    tells_other_etags: bool = False
    """A GET tells another ETag than the PUT did. Conditions know both."""
    demands_encryption: str | None = None
    """A policy of the bucket refuses a PUT without this `x-amz-server-side-encryption`."""
    demands_kms_key: str | None = None
    """It refuses a PUT with another key of KMS, or with one where there should be none."""
    demands_checksums: bool = False
    """It has Object Lock: an upload without Content-MD5 or `x-amz-checksum-...` is refused."""
    requester_pays: bool = False
    """A request without the header of a paying sender is refused."""
    stale_reads: bool = False
    """GET, HEAD and LIST show each key as it was before its last change; conditions of a PUT are about the truth."""


class Stored(NamedTuple):
    """One body a key has or had. `e_tag` is without quotes, `modified` is seconds since 1970."""

    body: bytes
    e_tag: str
    modified: float
    version: str
    attributes: Mapping[str, str]


@dataclass
class Upload:
    """A multipart upload under way, its parts by number."""

    key: str
    attributes: Mapping[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


def digest(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


class Bucket:
    """The keys and their bodies. It has no lock: the server has."""

    def __init__(self, quirks: Quirks, clock: Callable[[], float] = time.time, *, remembers: bool = True) -> None:
        self.quirks = quirks
        self.clock = clock
        self.current: dict[str, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self.history: dict[str, list[bytes]] = {}
        self._remembers = remembers
        self._before: dict[str, Stored | None] = {}
        # In the order they came to be. None is a delete marker.
        self._versions: dict[str, dict[str, Stored | None]] = {}
        self._numbers = itertools.count(1)

    def put(
        self, key: str, body: bytes, attributes: Mapping[str, str] | None = None, *, e_tag: str | None = None
    ) -> Stored:
        stored = Stored(body, e_tag or digest(body), self.clock(), self.new_id(), attributes or {})
        self._become(key, stored)
        if self.quirks.versioned:
            self._versions.setdefault(key, {})[stored.version] = stored
        if self._remembers:
            self.history.setdefault(key, []).append(body)
        return stored

    def delete(self, key: str, version: str | None = None) -> None:
        """Delete a key, or one of its versions for good."""
        versions = self._versions.setdefault(key, {}) if self.quirks.versioned else {}
        if version is not None:
            versions.pop(version, None)
        elif self.quirks.versioned:
            versions[self.new_id()] = None
        self._become(key, next(reversed(versions.values()), None))

    def get(self, key: str, version: str | None = None) -> Stored | None:
        """The visible object of a key."""
        if version is not None:
            return self._versions.get(key, {}).get(version)
        if self.quirks.stale_reads and key in self._before:
            return self._before[key]
        return self.current.get(key)

    def listed(self) -> list[tuple[str, Stored]]:
        """The listed objects, in ascending order: the order of code points is that of UTF-8."""
        if not self.quirks.stale_reads:
            return sorted(self.current.items())
        keys = sorted(self.current.keys() | self._before.keys())
        return [(key, stored) for key in keys if (stored := self.get(key)) is not None]

    def holding(self, content: bytes) -> list[str]:
        """The keys with these bytes in a body: current, an older version, or a part."""
        bodies = [(key, stored.body) for key, stored in self.current.items()]
        bodies += [(key, old.body) for key, olds in self._versions.items() for old in olds.values() if old is not None]
        bodies += [(upload.key, part) for upload in self.uploads.values() for part in upload.parts.values()]
        return sorted({key for key, body in bodies if content in body})

    def new_id(self) -> str:
        return f"{next(self._numbers):08x}"

    def _become(self, key: str, stored: Stored | None) -> None:
        self._before[key] = self.current.pop(key, None)
        if stored is not None:
            self.current[key] = stored
