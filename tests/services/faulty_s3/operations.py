"""The effect of each request on a bucket, and its answer without a fault."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.services.faulty_s3.bucket import Bucket, Quirks, Stored, Upload, digest
from tests.services.faulty_s3.wire import Answer, Request, error, found_in, text, xml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PAGE = 1000
SMALLEST_PART = 5 * 1024 * 1024
_KEPT = {"content-type", "content-encoding", "content-disposition", "content-language", "cache-control"}


def perform(buckets: dict[str, Bucket], request: Request, new_bucket: Callable[[], Bucket]) -> Answer:
    if request.operation == "BUCKET" and request.method == "PUT" and not request.query:
        if request.bucket in buckets:
            return error(409, "BucketAlreadyOwnedByYou")
        buckets[request.bucket] = new_bucket()
        return Answer(200, headers={"location": f"/{request.bucket}"}, wrote=True)
    if (bucket := buckets.get(request.bucket)) is None:
        return error(404, "NoSuchBucket")
    if _expired(bucket, request):
        return error(403, "AccessDenied")
    if (refusal := _unmet(bucket.quirks, request)) is not None:
        return refusal
    return _OPERATIONS.get(request.operation, _other)(bucket, request)


def _expired(bucket: Bucket, request: Request) -> bool:
    """Whether it was made by an expired presigned link. No signature is checked."""
    if "X-Amz-Expires" not in request.query:
        return False
    signed = datetime.strptime(request.query["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
    return bucket.clock() > (signed + timedelta(seconds=int(request.query["X-Amz-Expires"]))).timestamp()


def _unmet(quirks: Quirks, request: Request) -> Answer | None:
    """The reason if a request does not meet the demands of the bucket."""
    headers, operation = request.headers, request.operation
    if quirks.requester_pays and headers.get("x-amz-request-payer") != "requester":
        return error(403, "AccessDenied")
    if quirks.demands_encryption is not None and operation in {"PUT", "MULTIPART_CREATE"}:
        key = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
        if headers.get("x-amz-server-side-encryption") != quirks.demands_encryption or key != quirks.demands_kms_key:
            return error(403, "AccessDenied")
    if quirks.demands_checksums and operation in {"PUT", "MULTIPART_PART"}:
        sums = [name for name in headers if name == "content-md5" or name.startswith("x-amz-checksum-")]
        if not sums:
            told = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"
            return xml("Error", f"<Code>InvalidRequest</Code><Message>{told} parameters</Message>", 400)
        made = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
        if headers.get("x-amz-checksum-sha256", made) != made:
            return error(400, "BadDigest")
    return None


def _other(_: Bucket, __: Request) -> Answer:
    return error(501, "NotImplemented")


def _bucket(bucket: Bucket, request: Request) -> Answer:
    if "versioning" in request.query and request.method == "GET":
        return xml("VersioningConfiguration", "<Status>Enabled</Status>" if bucket.quirks.versioned else "")
    if "versioning" in request.query and request.method == "PUT":
        bucket.quirks.versioned = found_in(request.body, "Status") == ["Enabled"]
        return Answer(200, wrote=True)
    return Answer(200) if request.method == "HEAD" else error(501, "NotImplemented")


def _get(bucket: Bucket, request: Request) -> Answer:
    version = request.query.get("versionId")
    stored = bucket.get(request.key, version)
    if stored is None:
        return error(404, "NoSuchKey" if version is None else "NoSuchVersion")
    quirks = bucket.quirks
    headers = {
        "etag": f'"{stored.e_tag}{"-as-read" if quirks.tells_other_etags else ""}"',
        "last-modified": formatdate(stored.modified, usegmt=True),
        "accept-ranges": "bytes",
        **_versions(quirks, stored),
        **stored.attributes,
    }
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    if wanted is not None and not _names(wanted, stored, "either"):
        return error(412, "PreconditionFailed")
    if unwanted is not None and _names(unwanted, stored, "either") and not quirks.ignores_if_none_match_on_get:
        return Answer(304, headers=headers)
    if "range" not in request.headers or quirks.ignores_ranges:
        return Answer(200, stored.body, headers)
    start, stop = _span(request.headers["range"], len(stored.body))
    if start >= stop:
        return error(416, "InvalidRange")
    headers["content-range"] = f"bytes {start}-{stop - 1}/{len(stored.body)}"
    shift = int(quirks.shifts_ranges)
    return Answer(206, stored.body[start - shift : stop - shift], headers)


def _span(header: str, size: int) -> tuple[int, int]:
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _put(bucket: Bucket, request: Request) -> Answer:
    if "x-amz-copy-source" in request.headers:
        return error(501, "NotImplemented")
    if (refusal := _refusal(bucket, request)) is not None:
        return refusal
    stored = bucket.put(request.key, request.body, _attributes(request))
    return Answer(200, headers={"etag": f'"{stored.e_tag}"', **_versions(bucket.quirks, stored)}, wrote=True)


def _refusal(bucket: Bucket, request: Request) -> Answer | None:
    """Why a conditional write may not be done."""
    quirks = bucket.quirks
    stored = bucket.current.get(request.key)
    expected, absent = request.headers.get("if-match"), request.headers.get("if-none-match")
    if absent is not None and not (quirks.ignores_conditions or quirks.ignores_if_none_match):
        if absent != "*":
            return error(501, "NotImplemented")
        if stored is not None:
            return error(412, "PreconditionFailed")
    if expected is not None and not (quirks.ignores_conditions or quirks.ignores_if_match):
        if stored is None:
            return None if quirks.if_match_on_missing_succeeds else error(404, "NoSuchKey")
        if not _names(expected, stored, quirks.etag_form):
            return error(412, "PreconditionFailed")
    return None


def _names(condition: str, stored: Stored, form: str) -> bool:
    condition = condition.replace("-as-read", "")
    forms = {"quoted": [f'"{stored.e_tag}"'], "unquoted": [stored.e_tag]}
    return condition == "*" or condition in forms.get(form, [f'"{stored.e_tag}"', stored.e_tag])


def _attributes(request: Request) -> dict[str, str]:
    return {
        name: value
        for name, value in request.headers.items()
        if (name in _KEPT or name.startswith("x-amz-meta-")) and value != "aws-chunked"
    }


def _versions(quirks: Quirks, stored: Stored) -> Mapping[str, str]:
    return {"x-amz-version-id": stored.version} if quirks.versioned else {}


def _delete(bucket: Bucket, request: Request) -> Answer:
    if request.conditions and (refusal := _kept(bucket, request)) is not None:
        return refusal
    if request.key:
        bucket.delete(request.key, request.query.get("versionId"))
        return Answer(204, wrote=True)
    if not 0 < len(request.keys) <= PAGE:
        return error(400, "MalformedXML")
    for key in request.keys:
        bucket.delete(key)
    quiet = found_in(request.body, "Quiet") == ["true"]
    done = "" if quiet else "".join(f"<Deleted><Key>{text(key)}</Key></Deleted>" for key in request.keys)
    return xml("DeleteResult", done, wrote=True)


def _kept(bucket: Bucket, request: Request) -> Answer | None:
    """Why a DELETE with a condition may not be done."""
    quirk, stored = bucket.quirks.condition_of_delete, bucket.current.get(request.key)
    if quirk == "ignored":
        return None
    if quirk == "refused" or set(request.conditions) != {"if-match"} or "versionId" in request.query:
        return error(501, "NotImplemented")  # rather than to delete what the client wanted spared
    if stored is None:
        return error(404, "NoSuchKey")
    return None if _names(request.conditions["if-match"], stored, "either") else error(412, "PreconditionFailed")


def _list(bucket: Bucket, request: Request) -> Answer:
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    most = min(PAGE, int(query.get("max-keys", PAGE)))
    token = base64.urlsafe_b64decode(query.get("continuation-token", "")).decode()
    after = "" if token else query.get("start-after", "")
    # A token may be the common prefix a page ended with: then all that is rolled up in it has been told.
    entries: dict[str, Stored | None] = {}
    for key, stored in bucket.listed():
        if key.startswith(prefix) and key > after:
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            entry = prefix + head + found if found else key
            if not token or entry > token:
                entries[entry] = None if found else stored
                if len(entries) > most:
                    break
    page = list(entries.items())[:most]
    shown = quote if query.get("encoding-type") == "url" else text
    more = len(entries) > most > 0
    parts = [f"<Prefix>{shown(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>"]
    parts.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
    if shown is quote:
        parts.append("<EncodingType>url</EncodingType>")
    if more:
        next = base64.urlsafe_b64encode(page[-1][0].encode()).decode()
        parts.append(f"<NextContinuationToken>{next}</NextContinuationToken>")
    parts += [_listed(shown(entry), stored, bucket.quirks) for entry, stored in page]
    return xml("ListBucketResult", "".join(parts))


def _listed(entry: str, stored: Stored | None, quirks: Quirks) -> str:
    if stored is None:
        return f"<CommonPrefixes><Prefix>{entry}</Prefix></CommonPrefixes>"
    modified = datetime.fromtimestamp(int(stored.modified) if quirks.whole_seconds else stored.modified, UTC)
    when = modified.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f"<Contents><Key>{entry}</Key><LastModified>{when}</LastModified><ETag>&quot;{stored.e_tag}&quot;</ETag>"
        f"<Size>{len(stored.body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _create_upload(bucket: Bucket, request: Request) -> Answer:
    upload = bucket.new_id()
    bucket.uploads[upload] = Upload(request.key, _attributes(request))
    told = f"<Bucket>{request.bucket}</Bucket><Key>{text(request.key)}</Key><UploadId>{upload}</UploadId>"
    return xml("InitiateMultipartUploadResult", told, wrote=True)


def _put_part(bucket: Bucket, request: Request) -> Answer:
    if (upload := _upload(bucket, request)) is None:
        return error(404, "NoSuchUpload")
    upload.parts[int(request.query["partNumber"])] = request.body
    return Answer(200, headers={"etag": f'"{digest(request.body)}"'}, wrote=True)


def _complete_upload(bucket: Bucket, request: Request) -> Answer:
    if (upload := _upload(bucket, request)) is None:
        return error(404, "NoSuchUpload")
    numbers = [int(number) for number in found_in(request.body, "Part/PartNumber")]
    e_tags = [e_tag.strip('"') for e_tag in found_in(request.body, "Part/ETag")]
    if not numbers or e_tags != [digest(upload.parts.get(number, b"")) for number in numbers]:
        return error(400, "InvalidPart")
    if numbers != sorted(set(numbers)):
        return error(400, "InvalidPartOrder")
    bodies = [upload.parts[number] for number in numbers]
    if any(len(body) < SMALLEST_PART for body in bodies[:-1]):
        return error(400, "EntityTooSmall")
    if (refusal := _refusal(bucket, request)) is not None:
        return refusal
    e_tag = f"{digest(b''.join(bytes.fromhex(part) for part in e_tags))}-{len(bodies)}"
    stored = bucket.put(request.key, b"".join(bodies), upload.attributes, e_tag=e_tag)
    del bucket.uploads[request.query["uploadId"]]
    told = f"<Bucket>{request.bucket}</Bucket><Key>{text(request.key)}</Key><ETag>&quot;{e_tag}&quot;</ETag>"
    answer = xml("CompleteMultipartUploadResult", told, wrote=True)
    return answer._replace(headers={**answer.headers, **_versions(bucket.quirks, stored)})


def _abort_upload(bucket: Bucket, request: Request) -> Answer:
    if _upload(bucket, request) is None:
        return error(404, "NoSuchUpload")
    del bucket.uploads[request.query["uploadId"]]
    return Answer(204, wrote=True)


def _upload(bucket: Bucket, request: Request) -> Upload | None:
    upload = bucket.uploads.get(request.query["uploadId"])
    return upload if upload is not None and upload.key == request.key else None


_OPERATIONS: Mapping[str, Callable[[Bucket, Request], Answer]] = {
    "GET": _get,
    "HEAD": _get,
    "PUT": _put,
    "DELETE": _delete,
    "LIST": _list,
    "MULTIPART_CREATE": _create_upload,
    "MULTIPART_PART": _put_part,
    "MULTIPART_COMPLETE": _complete_upload,
    "MULTIPART_ABORT": _abort_upload,
    "BUCKET": _bucket,
}
