"""The S3 server of the tests is trusted because two independent clients agree about it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, NotModifiedError, PreconditionError
from obstore.store import S3Store

from tests.services.faulty_s3.clients import obstore_of, put, read
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1024 * 1024
NOWHERE = '"00000000000000000000000000000000"'


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def store(server: FaultyS3) -> S3Store:
    return obstore_of(server)


@pytest.fixture
def boto(server: FaultyS3) -> Iterator[Any]:
    config = pytest.importorskip("botocore.config").Config(retries={"total_max_attempts": 1})
    names = {"aws_access_key_id": "somebody", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = pytest.importorskip("boto3").client("s3", endpoint_url=server.endpoint, config=config, **names)
    yield client
    client.close()


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(Exception, match="error") as caught:
        call(**arguments)
    return str(getattr(caught.value, "response", {}).get("Error", {}).get("Code"))


def test_what_is_put_is_there_with_its_digest_and_its_attributes(server: FaultyS3, store: S3Store, boto: Any) -> None:
    key = "a/ä b+c&<d>%'\".json"
    obstore.put(store, key, b"one", attributes={"Content-Type": "text/x", "colour": "red"})
    found = boto.get_object(Bucket="bucket", Key=key)
    assert found["ETag"] == '"f97c5d29941bfb1b2fdab0874906ab82"'
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"one", "text/x", {"colour": "red"})
    boto.put_object(Bucket="bucket", Key=key, Body=b"two")
    assert read(store, key) == b"two"
    assert server.objects == {key: b"two"}
    assert server.history == {key: [b"one", b"two"]}
    assert [item["path"] for item in obstore.list(store).collect()] == [key]
    obstore.delete(store, key)
    assert (server.objects, server.history[key]) == ({}, [b"one", b"two"])
    with pytest.raises(FileNotFoundError):
        read(store, key)


def test_conditions_are_amazons(server: FaultyS3, store: S3Store, boto: Any) -> None:
    with pytest.raises(PreconditionError):  # which is what obstore makes of a 404 here
        put(store, "k", b"no", NOWHERE)
    first = obstore.put(store, "k", b"1", mode="create")["e_tag"]
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "k", b"no", mode="create")
    assert first is not None
    second = put(store, "k", b"2", first)
    with pytest.raises(PreconditionError):
        put(store, "k", b"no", first)
    place = {"Bucket": "bucket", "Key": "k", "Body": b"no"}
    assert code_of(boto.put_object, **place, IfMatch=first) == "PreconditionFailed"
    assert code_of(boto.put_object, **place, IfNoneMatch="*") == "PreconditionFailed"
    assert code_of(boto.put_object, **{**place, "Key": "z"}, IfMatch=first) == "NoSuchKey"
    assert code_of(boto.delete_object, Bucket="bucket", Key="k", IfMatch=first) == "PreconditionFailed"
    assert code_of(boto.delete_object, Bucket="bucket", Key="z", IfMatch=first) == "NoSuchKey"
    server.quirks.condition_of_delete = "refused"
    assert code_of(boto.delete_object, Bucket="bucket", Key="k", IfMatch=first) == "NotImplemented"
    assert server.objects == {"k": b"2"}
    with pytest.raises(NotModifiedError):
        obstore.get(store, "k", options={"if_none_match": second})
    with pytest.raises(PreconditionError):
        obstore.get(store, "k", options={"if_match": first})
    assert bytes(obstore.get(store, "k", options={"if_none_match": first, "if_match": second}).bytes()) == b"2"
    assert [record.status for record in server.requests][-3:] == [304, 412, 200]
    server.quirks.condition_of_delete = "kept"
    boto.delete_object(Bucket="bucket", Key="k", IfMatch=second)
    assert server.objects == {}
    server.put("k", b"3")
    server.quirks.condition_of_delete = "ignored"
    boto.delete_object(Bucket="bucket", Key="k", IfMatch=first)
    assert server.objects == {}


def test_of_many_racing_writers_one_wins(server: FaultyS3) -> None:
    stores = [obstore_of(server) for _ in range(8)]

    def create(store: S3Store, key: str) -> bool:
        try:
            obstore.put(store, key, b"0", mode="create")
        except AlreadyExistsError:
            return False
        return True

    def count(store: S3Store) -> None:
        done = 0
        while done < 10:
            found = obstore.get(store, "r0")
            try:
                put(store, "r0", str(int(bytes(found.bytes())) + 1).encode(), found.meta["e_tag"])
            except PreconditionError:
                continue
            done += 1

    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            assert sum(pool.map(create, stores, [f"r{number}"] * 8)) == 1
        list(pool.map(count, stores))
    assert server.objects["r0"] == b"80"


@pytest.mark.parametrize("size", [0, 1, 10])
def test_ranges(store: S3Store, size: int) -> None:
    body = b"0123456789"[:size]
    obstore.put(store, "k", body)
    spans: list[tuple[Any, bytes]] = [((0, 4), body[:4]), ((5, 99), body[5:]), ({"offset": 3}, body[3:])]
    for range_, expected in [*spans, ({"suffix": 4}, body[-4:])]:
        if not expected:
            with pytest.raises(GenericError):
                obstore.get(store, "k", options={"range": range_})
            continue
        found = obstore.get(store, "k", options={"range": range_})
        assert (bytes(found.bytes()), found.meta["size"]) == (expected, size)


def test_a_listing_has_pages_in_ascending_order(server: FaultyS3, store: S3Store, boto: Any) -> None:
    keys = sorted(f"p/{number}-{'ä' * (number % 3)}" for number in range(2500))
    for key in keys:
        server.put(key, b"")
    server.put("p", b"")
    server.put("q/1&2", b"")
    with server.counted() as made:
        assert [item["path"] for item in obstore.list(store, "p").collect()] == keys
    assert [(record.operation, record.key) for record in made] == [("LIST", "p/")] * 3
    offset = obstore.list(store, "p", offset=keys[1700]).collect()
    assert [item["path"] for item in offset] == keys[1701:]
    pages = list(boto.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="p/"))
    assert [len(page["Contents"]) for page in pages] == [1000, 1000, 500]
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys


def test_a_delimiter_rolls_up_across_pages(server: FaultyS3, store: S3Store, boto: Any) -> None:
    for key in ["a", "b/1", "b/2", "b/3", "c", "d/1", "d/2", "e&f/1"]:
        server.put(key, b"")
    found = obstore.list_with_delimiter(store)
    assert sorted(found["common_prefixes"]) == ["b", "d", "e&f"]
    assert [item["path"] for item in found["objects"]] == ["a", "c"]
    paginator = boto.get_paginator("list_objects_v2")
    pages = list(paginator.paginate(Bucket="bucket", Delimiter="/", PaginationConfig={"PageSize": 1}))
    told = [[*page.get("CommonPrefixes", []), *page.get("Contents", [])] for page in pages]
    assert [entry.get("Prefix") or entry["Key"] for page in told for entry in page] == ["a", "b/", "c", "d/", "e&f/"]
    assert len(pages) == 5


def test_many_are_deleted_at_once(server: FaultyS3, store: S3Store, boto: Any) -> None:
    keys = [f"d/{number}&<ü>" for number in range(1500)]
    for key in [*keys, "kept"]:
        server.put(key, b"")
    with server.counted() as made:
        obstore.delete(store, keys)
    assert server.objects == {"kept": b""}
    assert sorted(len(record.keys) for record in made) == [500, 1000]
    gone = boto.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "kept"}, {"Key": "never"}]})
    assert [entry["Key"] for entry in gone["Deleted"]] == ["kept", "never"]
    boto.delete_object(Bucket="bucket", Key="never")


def test_a_large_body_comes_in_parts(server: FaultyS3, store: S3Store) -> None:
    body = os.urandom(20 * MB)
    with obstore.open_writer(store, "large", buffer_size=6 * MB) as writer:
        for start in range(0, len(body), MB):
            writer.write(body[start : start + MB])
    assert read(store, "large") == body
    head = obstore.head(store, "large")
    assert head["size"] == len(body)
    assert str(head["e_tag"]).endswith('-4"')
    operations = [record.operation for record in server.requests]
    assert operations[0] == "MULTIPART_CREATE"
    assert sorted(operations[1:6]) == ["MULTIPART_COMPLETE", *["MULTIPART_PART"] * 4]
    assert server.uploads == []


def test_an_upload_given_up_leaves_nothing(server: FaultyS3, store: S3Store) -> None:
    def give_up() -> None:
        with obstore.open_writer(store, "large", buffer_size=6 * MB) as writer:
            writer.write(b"secret" * 2 * MB)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        give_up()
    assert (server.objects, server.uploads, server.holding(b"secret")) == ({}, [], [])
    assert server.requests[-1].operation == "MULTIPART_ABORT"


def test_parts_are_seen_while_they_are_there(server: FaultyS3, boto: Any) -> None:
    place = {"Bucket": "bucket", "Key": "large"}
    upload = boto.create_multipart_upload(**place)["UploadId"]
    part = boto.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"secret")
    assert (server.holding(b"ecre"), server.uploads) == (["large"], ["large"])
    wrong = {"Parts": [{"PartNumber": 1, "ETag": NOWHERE}]}
    finish = boto.complete_multipart_upload
    assert code_of(finish, **place, UploadId=upload, MultipartUpload=wrong) == "InvalidPart"
    right = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    finish(**place, UploadId=upload, MultipartUpload=right)
    assert server.objects == {"large": b"secret"}
    assert code_of(finish, **place, UploadId=upload, MultipartUpload=right) == "NoSuchUpload"


def test_buckets(server: FaultyS3, boto: Any) -> None:
    assert code_of(boto.get_object, Bucket="other", Key="k") == "NoSuchBucket"
    boto.create_bucket(Bucket="other")
    boto.head_bucket(Bucket="other")
    boto.put_object(Bucket="other", Key="k", Body=b"1")
    assert server.objects == {}
    assert boto.list_objects_v2(Bucket="other")["KeyCount"] == 1
    assert "Status" not in boto.get_bucket_versioning(Bucket="other")


def test_a_versioned_bucket_forgets_nothing(server: FaultyS3, store: S3Store, boto: Any) -> None:
    place = {"Bucket": "bucket", "Key": "k"}
    boto.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    assert boto.get_bucket_versioning(Bucket="bucket")["Status"] == "Enabled"
    first = obstore.put(store, "k", b"secret")
    second = obstore.put(store, "k", b"public")
    assert first["version"] not in {None, second["version"]}
    boto.delete_object(**place)
    assert (server.objects, server.holding(b"secret")) == ({}, ["k"])
    assert boto.get_object(**place, VersionId=first["version"])["Body"].read() == b"secret"
    obstore.put(store, "k", b"again", mode="create")
    boto.delete_object(**place, VersionId=first["version"])
    assert (server.objects, server.holding(b"secret")) == ({"k": b"again"}, [])


def test_a_link_that_has_expired_is_refused() -> None:
    now = time.time()
    with FaultyS3(clock=lambda: now) as server:
        put(obstore_of(server), "k", b"1")
        url = obstore.sign(obstore_of(server), "GET", "k", timedelta(seconds=5))
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == b"1"
        now += 7
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=10)
        refused.value.close()
        assert refused.value.code == 403


def test_it_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.services.faulty_s3.server", "0", "--chaos", "1", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        store = S3Store(
            "bucket", endpoint=endpoint, region="x", skip_signature=True, client_options={"allow_http": True}
        )
        for number in range(5):
            obstore.put(store, f"k{number}", b"1")  # obstore's own retries get through
        assert len(obstore.list(store).collect()) == 5
        process.terminate()


def test_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with FaultyS3() as server:
        put(obstore_of(server), "k", b"1")
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) - before == set()
