"""Errors of an object store, translated without its secrets.

The driver's texts contain whole answers of the store. A refused signature comes back with the session token in it, and
some addresses are signed. So only harmless parts of a text are passed on, and the cause of an error is rebuilt from
them: a traceback prints causes too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from stowfast.backends.objects.driver.transport import transport_error
from stowfast.backends.objects.protocol.requests import BehindEndError
from stowfast.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    StowfastError,
    UnavailableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FAILURES", "Address", "BehindEndError", "Scrub", "unconditional"]

FAILURES: Final = (BaseError, OSError, ValueError, NotImplementedError)
"""Errors that the driver raises. Any other error is a mistake in Stowfast."""

_STATUS: Final = re.compile(r"status code: (\d{3}) ?([A-Za-z' -]*)")
_CODE: Final = re.compile(r"(?:<Code>|\(code: )([A-Za-z0-9.]{1,64})(?:</Code>|\))")
_SAYS: Final = re.compile(r"<Message>((?:(?!RequestId)[^<]){1,300})")
_ODD_KEY: Final = re.compile(r'\bpath: "((?:[^"\\]|\\.){1,120})')
_QUERY: Final = re.compile(r"\?\S*")

_NO_BUCKET: Final = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "InvalidBucketName"}
_REFUSED: Final = {
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_ELSEWHERE: Final = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_PASSING: Final = {
    "BadDigest",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",  # a 400 of S3's, for a body that came too slowly
    "SlowDown",
    "XAmzContentSHA256Mismatch",
}
_PASSING_STATUS: Final = {408, 409, 425, 429}
_SHORTEST: Final = 6  # whatever is shorter is no secret, but a part of many words
_METADATA_SERVICE: Final = ("169.254.169.254", "169.254.170.2", "metadata.google.internal", "token request")


def unconditional(error: StowfastError) -> StowfastError:
    """Return the error of a request without a condition: never a conflict, but "not now"."""
    if not isinstance(error, ConflictError):
        return error
    passing = UnavailableError(str(error))
    passing.__cause__ = error.__cause__
    return passing


class Scrub:
    """Removes known secrets from a text. Shows none of them itself."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[str | None]) -> None:
        self._secrets = sorted(
            {secret for secret in secrets if secret and len(secret) >= _SHORTEST}, key=len, reverse=True
        )

    def __call__(self, text: str) -> str:
        """Return the text with each secret as ***."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class Address:
    """The address of a store, and the translation of its failures.

    Args:
        url: without user, password and options, so that it may be printed.
        endpoint: the address of the service, if not the cloud's own.
        secrets: texts to remove from every message.
        remedy: the advice for missing or refused credentials.
        proxy: the environment variable that names the proxy to it.
    """

    __slots__ = ("_scrub", "endpoint", "proxy", "remedy", "url")

    def __init__(
        self, url: str, endpoint: str | None, secrets: Iterable[str | None], remedy: str, proxy: str | None = None
    ) -> None:
        self.url = url
        self.endpoint = endpoint
        self.remedy = remedy
        self.proxy = proxy
        self._scrub = Scrub(secrets)

    def __str__(self) -> str:
        at = f" at {self.endpoint}" if self.endpoint else ""
        by = f" through the proxy of {self.proxy}" if self.proxy else ""
        return f"{self.url}{at}{by}"

    def explain(self, error: Exception, operation: str) -> StowfastError:
        """Return the StowfastError for an error of the driver, with a cause without secrets.

        UnavailableError: a repeat may help. ConflictError: a condition failed. NotFoundError: no such key.
        """
        ours = self._explain(error, operation)
        ours.__cause__ = type(error)(self._clean(str(error)))
        return ours

    def _explain(self, error: Exception, operation: str) -> StowfastError:
        whole = str(error)
        text, _, debug = whole.partition("\n\nDebug source")
        found = _STATUS.search(text)
        status = int(found[1]) if found else 0
        code = _first(_CODE, text)
        said = f"{status or ''} {code or (found[2].strip() if found else '')}".strip()
        if says := _first(_SAYS, text):
            said += f": {self._scrub(' '.join(says.split()))}"
        where = f"{self}: {operation}"
        if isinstance(error, InvalidPathError):
            key = _first(_ODD_KEY, debug)
            return InvalidError(
                f"{where}: the driver cannot list the key {self._scrub(key)}, which another program wrote: an empty "
                "part, a . or a control character is in it. Move that object away, or use another prefix"
            )
        if wrong := self._access(error, text, code, status, said, where):
            return wrong
        if isinstance(error, AlreadyExistsError | PreconditionError):
            return ConflictError(f"{where}: the condition does not hold ({said})")
        if isinstance(error, FileNotFoundError) or status == 404:
            return NotFoundError(f"{where}: there is no such key")
        if isinstance(error, NotSupportedError | NotImplementedError) or status == 501 or code == "NotImplemented":
            return UnsupportedError(f"{where}: this store cannot do that ({said or 'the driver says so'})")
        if status == 416:
            return BehindEndError(f"{where}: the range begins behind the end")
        if "non-partial response" in text:
            return UnsupportedError(f"{where}: this store ignores the header Range: use another one")
        if 400 <= status < 500 and status not in _PASSING_STATUS and code not in _PASSING:
            return InvalidError(f"{where}: not accepted ({said})")
        if isinstance(error, ValueError):
            return InvalidError(f"{where}: {self._clean(whole)}")
        if status == 307:
            return UnavailableError(
                f"{where}: redirected for some time, as by a bucket that is new: try again ({said})"
            )
        if said:
            return UnavailableError(f"{where}: {said}")
        kind, why = transport_error(text, debug)
        return kind(f"{where}: {why}")

    def _access(
        self, error: Exception, text: str, code: str, status: int, said: str, where: str
    ) -> StowfastError | None:
        if any(word in text for word in _METADATA_SERVICE):
            kind = InvalidError if 400 <= status < 500 else UnavailableError
            return kind(f"{self}: no credentials were given, and this machine has none to offer: {self.remedy}")
        if code in _NO_BUCKET:
            return InvalidError(f"{self}: there is no such bucket ({code}): create it, or correct the URL")
        if code in _ELSEWHERE or status in {301, 308} or "incorrectly configured region" in text:
            return InvalidError(
                f"{where}: the bucket is in another region: give region= ({said or 'redirected'}). A bucket that was "
                "made today may answer so for some hours: then try again"
            )
        if code == "InvalidRequest" and "checksum" in said:
            return InvalidError(f"{where}: the bucket demands checksums: give checksum_algorithm=SHA256 ({said})")
        if code == "RequestTimeTooSkewed":
            return InvalidError(f"{where}: refused, since this machine's clock is wrong: set it ({said})")
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or code in _REFUSED or status in {401, 403}:
            return InvalidError(f"{where}: refused ({said or 'no valid credentials'}): {self.remedy}")
        return None

    def _clean(self, whole: str) -> str:
        text = whole.partition("\n\nDebug source")[0]
        if found := _STATUS.search(text):
            # What follows is the body of the answer: of that, the code and the sentence.
            parts = [text[: found.end()].rstrip(), _first(_CODE, text), _first(_SAYS, text)]
            text = ": ".join(part for part in parts if part)
        return self._scrub(_QUERY.sub("", " ".join(text.split())))


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
