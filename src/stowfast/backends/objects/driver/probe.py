"""The self-test at the first call: does this store keep the conditions of conditional writes?

Some stores accept `If-None-Match` and `If-Match` and ignore them. Two writers then both believe that they were first,
and one loses an acknowledged write. So no call is served before the store has refused the writes that it must refuse.
"""

from __future__ import annotations

import secrets
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.objects.protocol.requests import ABSENT, UNCHANGED, All, Delete, Get, Object, Pause, Put, Token
from stowfast.errors import StowfastError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast.backends.objects.driver.store import BucketClient
    from stowfast.backends.objects.protocol.requests import Steps

    _Form = Callable[[Token], Token]

__all__ = ["PROMISES", "Probed", "probe", "self_test"]

PROMISES: Final = (
    "creates a key that is not there",
    "refuses to create a key that is there",
    "replaces what has the given ETag",
    "refuses to replace what has another ETag",
    "refuses to replace a key that is not there",
    "shows the newest bytes at once",
    "sends a part of an object exactly",
    "says when nothing has changed",
    "removes keys",
)
"""The properties of a store after the self-test."""

_FIRST: Final = b"the first bytes"
_OTHER: Final = b"bytes that no store may take"
_RANGE: Final = (4, 10)
_TRIES: Final = 10
_LONGEST_PAUSE: Final = 1.0

_CREATES_TWICE: Final = (
    "ignores If-None-Match: two writers would both believe that they have begun the same conversation, and one of them "
    "would lose what it wrote"
)
_REPLACES_ANY: Final = (
    "ignores If-Match: two writers would both believe that they were first, and one would lose what it wrote"
)
_REPLACES_NOTHING: Final = (
    "creates a key with If-Match where there is none: what was deleted would come back through a stalled writer"
)
_FIX: Final = (
    "Stowfast needs conditional writes: use Amazon S3, Google Cloud Storage, Azure, Cloudflare R2, or a current "
    "version of Ceph, or another store that has them"
)


class Probed(NamedTuple):
    """The results of a passed self-test."""

    bare_etags: bool
    """It compares ETags without their quotes."""
    keeps_versions: bool
    """Overwritten and deleted objects stay as old versions. Without meaning on Google."""


class _UnfitError(Exception):
    """A behaviour that rules a store out."""


def self_test(store: BucketClient) -> Probed:
    """Run the self-test of a store, once in a process, and set its form of ETags.

    Warns if the bucket keeps overwritten and deleted objects.

    Raises:
        UnsupportedError: a condition is not kept, or another needed feature fails; the message names it.
        UnavailableError: no answer.
        InvalidError: the credentials or the bucket are wrong.
    """
    place = str(store.place)
    probed = _passed.get(place)
    if probed is None:
        speaks_s3 = store.place.url.startswith("s3:")
        probed = store.run(probe(place, secrets.token_hex(8), strips=speaks_s3))
        _passed[place] = probed
        if probed.keeps_versions and not store.place.url.startswith("gs:"):
            warnings.warn(
                f"{store.place}: this bucket keeps old versions. Every commit leaves one, which costs storage, and "
                "what is deleted stays in them: let a lifecycle rule expire noncurrent versions after some days, or "
                "use a bucket without versioning",
                stacklevel=2,
            )
    store.bare_etags = probed.bare_etags
    store.reader.sends_parts = True
    return probed


_passed: Final[dict[str, Probed]] = {}


def probe(place: str, unique: str, *, strips: bool = True) -> Steps[Probed]:
    """Test every assumption of the protocol on a store. Leaves nothing behind.

    Args:
        place: the address, for errors.
        unique: a new unique text.
        strips: also try ETags without their quotes, as some compatible services want.

    Raises: as `self_test` does.
    """
    key, missing = f"probe/{unique}", f"probe/{unique}-missing"
    try:
        probed = yield from _ask(key, missing, (_given, _bare) if strips else (_given,))
    except (StowfastError, _UnfitError) as error:
        with suppress(StowfastError):
            yield Delete((key, missing))
        if isinstance(error, _UnfitError):
            raise UnsupportedError(f"{place}: this store {error}. {_FIX}") from None
        raise
    yield Delete((key, missing))
    return probed


def _ask(key: str, missing: str, forms: Sequence[_Form]) -> Steps[Probed]:
    first = yield from _create(key)
    yield from _refused(Put(key, _OTHER, ABSENT), _CREATES_TWICE)
    form, body, before, after = yield from _replace(key, first, forms)
    yield from _refused(Put(key, _OTHER, form(before)), _REPLACES_ANY)
    yield from _refused(Put(missing, _OTHER, form(after)), _REPLACES_NOTHING)
    start, stop = _RANGE
    whole, nothing, unchanged, part = yield All(
        [Get(key), Get(missing), Get(key, unless=form(after)), Get(key, start=start, stop=stop)]
    )
    if whole is not None and whole.body == _OTHER:
        raise _UnfitError(_REPLACES_ANY)
    if nothing is not None:
        raise _UnfitError(_REPLACES_NOTHING)
    if whole is None or whole.body != body:
        raise _UnfitError("does not show what was just written to it")
    if _bare(whole.token) != _bare(after):
        raise _UnfitError("tells one ETag when a key is written and another when it is read")
    if unchanged is not UNCHANGED:
        raise _UnfitError("ignores If-None-Match where a key is read")
    if part is None or (part.body, part.size) != (body[start:stop], len(body)):
        raise _UnfitError("does not send the part of an object that it was asked for")
    return Probed(form is _bare, after.version is not None)


def _create(key: str) -> Steps[Token]:
    for attempt in range(_TRIES):
        token: Token | None = yield Put(key, _FIRST, ABSENT)
        if token is not None:
            return token
        # It may have been written all the same, and only its answer lost.
        found: Object | None = yield Get(key)
        if found is not None:
            return found.token
        yield Pause(min(0.05 * 2**attempt, _LONGEST_PAUSE))
    raise (yield from _never(key, "If-None-Match"))


def _refused(put: Put, otherwise: str) -> Steps[None]:
    # Twice: one that got no answer for another reason proves nothing.
    if any((yield All([put, put]))):
        raise _UnfitError(otherwise)


def _replace(key: str, before: Token, forms: Sequence[_Form]) -> Steps[tuple[_Form, bytes, Token, Token]]:
    for attempt in range(_TRIES):
        form = forms[attempt % len(forms)]
        body = f"the bytes of attempt {attempt}".encode()
        after: Token | None = yield Put(key, body, form(before))
        if after is not None:
            return form, body, before, after
        # Perhaps it was written. But which form the store takes is known only once it has said so: begin again from
        # what is there.
        found: Object | None = yield Get(key)
        if found is None:
            raise _UnfitError("does not show what was just written to it")
        if found.body == _OTHER:
            raise _UnfitError(_CREATES_TWICE)
        before = found.token
        yield Pause(min(0.05 * 2**attempt, _LONGEST_PAUSE) if form is forms[-1] else 0.0)
    raise (yield from _never(key, "If-Match"))


def _never(key: str, header: str) -> Steps[Exception]:
    yield Put(key, _OTHER)  # an UnavailableError where it is not the condition that is in the way
    return _UnfitError(f"takes no PUT with {header}")


def _given(token: Token) -> Token:
    return token


def _bare(token: Token) -> Token:
    return Token(token.e_tag.strip('"') if token.e_tag else None, token.version)
