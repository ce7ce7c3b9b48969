"""Reading a bucket: keys, parts of them, bodies piece by piece, listings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError, NotModifiedError

from stowfast.backends.objects.driver.bodies import BodySource, read_body
from stowfast.backends.objects.driver.failures import FAILURES
from stowfast.backends.objects.driver.transport import NO_STORE
from stowfast.backends.objects.protocol.keys import MARKER
from stowfast.backends.objects.protocol.requests import UNCHANGED, Get, Item, Items, List, Object, Token, Unchanged
from stowfast.errors import InvalidError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from obstore import GetOptions, ObjectMeta, PutResult
    from obstore.store import ObjectStore as Driver

    from stowfast.backends.objects.driver.failures import Address
    from stowfast.backends.objects.driver.removal import Repeat
    from stowfast.counts import Counts

__all__ = ["Reader", "token_of"]

_PAGE: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Reader:
    """Reads keys of a bucket. Blocking; from any number of threads.

    Args:
        place: the address, for errors.
        driver: repeats a request by itself.
        timeout: seconds of waiting for a body, whatever its size.
        repeat: repeats a call of the driver, and makes its errors ours.
        form: returns an ETag in the form that the store compares.
        check_open: raises once the store was closed.
        counts: counts the requests.
    """

    def __init__(
        self,
        place: Address,
        driver: Driver,
        timeout: float,
        repeat: Repeat,
        form: Callable[[str | None], str | None],
        check_open: Callable[[], None],
        *,
        counts: Counts,
    ) -> None:
        self.place = place
        self._driver = driver
        self._timeout = timeout
        self._repeat = repeat
        self._form = form
        self._check_open = check_open
        self._counts = counts
        self.sends_parts = False
        """The self-test has seen that this store sends a part of an object."""

    def get(self, request: Get) -> Object | Unchanged | None:
        """Perform a GET, as `requests` describes it."""
        options = _options(request.start, request.stop)
        if request.unless is not None and (e_tag := self._form(request.unless.e_tag)):
            options["if_none_match"] = e_tag

        def get() -> Object | Unchanged:
            try:
                result = self._ask(request.key, options)
            except NotModifiedError:
                return UNCHANGED
            meta, (start, stop) = result.meta, result.range
            source = self.source(request.key, stop, self._form(meta["e_tag"]))
            try:
                body = b"".join(read_body(source, result, start, stop))
            except FAILURES as error:
                # The rest of a body that broke off was asked for, and another one is there now.
                broken = self.place.explain(error, f"GET {request.key}")
            else:
                return Object(body, token_of(meta), meta["size"])
            raise UnavailableError(str(broken)) from broken.__cause__

        try:
            return self._repeat(f"GET {request.key}", get)
        except NotFoundError:
            return None

    def list(self, request: List) -> Items:
        """Perform a LIST once. Raises the driver's own errors."""
        found: list[Item] = []
        ascending = True
        # A whole page at least is looked at before an end is taken for one: a store that lists in no order cannot
        # look as if it did.
        prefix = request.prefix.rstrip("/") or None
        after = request.after or ""
        before = ""
        count, checked = 0, -1
        pages = obstore.list(self._driver, prefix, offset=request.after, chunk_size=_PAGE)
        while True:
            self._counts.request("LIST")
            for number, page in enumerate(pages):
                self._counts.request("LIST", number > 0)
                count += len(page)
                for meta in page:
                    key = meta["path"]
                    if key == before:  # the driver leaves out the slash of an empty object that stands for a folder
                        continue
                    ascending = ascending and before < key
                    before = key
                    if key > after:  # some stores begin at the beginning, wherever they are asked to
                        modified = (meta["last_modified"] - _EPOCH) // _MICROSECOND
                        found.append(Item(key, meta["size"], modified, meta["e_tag"]))
                if ascending and request.enough is not None and len(found) >= max(request.enough, _PAGE):
                    return Items(found, complete=False)
            if count % _PAGE or count == checked:
                break
            # A login page in place of the last answer looks to the driver like a page of a listing without keys. So
            # such an end is asked for again, once the store answers.
            self._check_answers()
            if not ascending:
                break
            checked, after = count, max(after, before)
            pages = obstore.list(self._driver, prefix, offset=after or None, chunk_size=_PAGE)
        if not ascending:
            # Without its slash the object of a folder has the key of another object, which came first.
            found = sorted({one.key: one for one in reversed(found)}.values(), key=lambda one: one.key)
        return Items(found, complete=True)

    def level(self, prefix: str) -> Sequence[str]:
        """Return the keys and the folders directly below a prefix, without their slashes, in no order.

        Nothing below these folders is looked at, so a bucket of other programs may be as large as it likes.
        """
        self._check_open()

        def level() -> Sequence[str]:
            self._counts.request("LIST")
            found = obstore.list_with_delimiter(self._driver, prefix.rstrip("/") or None)
            keys = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
            self._counts.request("LIST", len(keys) // _PAGE)
            return [key.rstrip("/") for key in keys]

        found, checked = self._repeat(f"LIST {prefix}", level), -1
        while len(found) % _PAGE == 0 and len(found) != checked:  # as in `list`
            self._check_answers()
            checked = len(found)
            found = self._repeat(f"LIST {prefix}", level)
        return found

    def stream(self, key: str, start: int, stop: int | None) -> obstore.GetResult:
        """Ask once for a range of a key, to be read piece by piece. Raises the driver's own errors."""
        return self._ask(key, _options(start, stop))

    def _ask(self, key: str, options: GetOptions) -> obstore.GetResult:
        self._counts.request("GET")
        try:
            result = obstore.get(self._driver, key, options=options)
        except (BaseError, ValueError) as error:
            if "non-partial response" not in str(error):
                raise
            whole = error  # a whole body where a part was asked for
        else:
            if not result.meta["e_tag"]:
                raise UnavailableError(f"{self.place}: GET {key}: {NO_STORE}")
            return result
        self._check_answers()
        if self.sends_parts:
            raise UnavailableError(f"{self.place}: GET {key}: {NO_STORE}")
        raise whole

    def _check_answers(self) -> None:
        """Raise an UnavailableError if it is no object store that answers now."""
        self.get(Get(MARKER))

    def source(self, key: str, stop: int, e_tag: str | None = None) -> BodySource:
        """Return where the body of a key can be continued: with an ETag, only that of this content."""

        def ask(offset: int) -> obstore.GetResult:
            options = _options(offset, stop)
            if e_tag is not None:
                options["if_match"] = e_tag
                return self._ask(key, options)
            return self._repeat(f"GET {key}", lambda: self._ask(key, options))

        return BodySource(self.place, f"GET {key}", ask, self._timeout, self._check_open)


def token_of(result: PutResult | ObjectMeta) -> Token:
    """Return the identity of the bytes that were read or written."""
    # Of an upload in parts Ceph tells no ETag; and "null" is the version of what is in a bucket that keeps none.
    version = result["version"]
    return Token(result["e_tag"] or None, None if version == "null" else version)


def _options(start: int, stop: int | None) -> GetOptions:
    if stop is not None:
        if not 0 <= start < stop:
            raise InvalidError(f"no bytes lie at {start} <= offset < {stop}")
        return {"range": (start, stop)}
    # Without a range where all is wanted: an empty object has none, and a store would refuse it.
    return {"range": {"offset": start}} if start else {}
