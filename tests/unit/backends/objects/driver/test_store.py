"""The client of a bucket: the effect of each request, and the error of each failure."""

from __future__ import annotations

import os
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import InvalidError, NotFoundError, UnavailableError, UnsupportedError
from stowfast.backends.objects.driver import reading
from stowfast.backends.objects.driver.failures import Address
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.transfers import Upload, download
from stowfast.backends.objects.protocol.requests import (
    ABSENT,
    UNCHANGED,
    All,
    Delete,
    Get,
    Item,
    Items,
    List,
    Object,
    Pause,
    Put,
    Token,
)
from tests.services.faulty_s3 import wire
from tests.services.faulty_s3.server import Fault, FaultyS3, Quirks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stowfast.backends.objects.driver.store import BucketClient
    from stowfast.backends.objects.protocol.requests import Request, Steps

    Opener = Callable[..., BucketClient]

SECRET = "s3cr3t-of-the-tests"
MIB = 2**20

NEVER_SAID = [Fault.CONFLICT, Fault.PRECONDITION, Fault.TOO_MANY, Fault.TIMEOUT, Fault.INTERNAL, Fault.SLOW_DOWN]
BROKEN = [Fault.CLOSE, Fault.RESET]


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def opener(server: FaultyS3) -> Iterator[Opener]:
    opened: list[BucketClient] = []

    def make(url: str = "s3://bucket/below/here", **options: Any) -> BucketClient:
        keys = {"access_key_id": "me", "secret_access_key": SECRET}
        options = {"endpoint_url": server.endpoint, "timeout": 3} | options
        opened.append(open_store(url, **(options if "anonymous" in options else keys | options)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> BucketClient:
    return opener()


# --- requests


def test_an_object_is_created_read_and_removed(store: BucketClient, server: FaultyS3) -> None:
    token = store.perform(Put("h/a", b"hello", ABSENT))
    assert token.e_tag
    assert store.perform(Get("h/a")) == Object(b"hello", token, 5)
    assert server.objects == {"below/here/h/a": b"hello"}
    assert store.perform(Get("h/none")) is None
    assert store.perform(Delete(("h/a", "h/none"))) is None
    assert store.perform(Delete(())) is None
    assert store.perform(Get("h/a")) is None


def test_a_condition_that_does_not_hold_is_none_and_changes_nothing(store: BucketClient) -> None:
    first = store.perform(Put("h/a", b"1", ABSENT))
    second = store.perform(Put("h/a", b"2", first))
    assert isinstance(second, Token)
    assert store.perform(Put("h/a", b"3", first)) is None
    assert store.perform(Put("h/a", b"3", ABSENT)) is None
    assert store.perform(Put("h/none", b"3", second)) is None
    assert store.perform(Get("h/a")).body == b"2"
    assert store.perform(Get("h/none")) is None


def test_a_token_of_nothing_is_a_mistake(store: BucketClient) -> None:
    with pytest.raises(InvalidError, match="token"):
        store.perform(Put("h/a", b"3", Token(None, None)))


@pytest.mark.parametrize("form", ["quoted", "unquoted"])
def test_an_etag_is_compared_in_the_form_the_store_wants(form: Any, opener: Opener, server: FaultyS3) -> None:
    server.quirks = Quirks(etag_form=form)
    store = opener()
    store.bare_etags = form == "unquoted"
    first = store.perform(Put("h/a", b"1", ABSENT))
    second = store.perform(Put("h/a", b"2", first))
    assert second is not None
    assert store.perform(Get("h/a", unless=second)) is UNCHANGED
    assert store.perform(Get("h/a", unless=first)) == Object(b"2", second, 1)


@pytest.mark.parametrize(
    ("start", "stop", "body"), [(0, 3, b"abc"), (2, 4, b"cd"), (4, 99, b"ef"), (3, None, b"def"), (0, None, b"abcdef")]
)
def test_a_range_is_read(start: int, stop: int | None, body: bytes, store: BucketClient) -> None:
    token = store.perform(Put("d/a", b"abcdef"))
    assert store.perform(Get("d/a", start=start, stop=stop)) == Object(body, token, 6)


def test_an_empty_object_is_read(store: BucketClient) -> None:
    store.perform(Put("d/empty", b""))
    assert store.perform(Get("d/empty")).body == b""


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, 2), (-1, 2), (6, None), (7, 9)])
def test_a_range_without_bytes_is_a_mistake(start: int, stop: int | None, store: BucketClient) -> None:
    store.perform(Put("d/a", b"abcdef"))
    with pytest.raises(InvalidError):
        store.perform(Get("d/a", start=start, stop=stop))


def test_a_listing_is_of_a_folder_in_order_with_sizes_and_times(store: BucketClient) -> None:
    now = time.time_ns() // 1_000
    for key in ("h/c/b", "h/c/a", "h/c/a/x", "h/c-not", "h/d/a"):
        store.perform(Put(key, key.encode()))
    listed = store.perform(List("h/c/"))
    assert [item.key for item in listed.items] == ["h/c/a", "h/c/a/x", "h/c/b"]
    assert listed.complete
    assert [item.size for item in listed.items] == [5, 7, 5]
    assert all(abs(item.modified - now) < 60_000_000 for item in listed.items)
    assert [item.key for item in store.perform(List("h/c/", after="h/c/a")).items] == ["h/c/a/x", "h/c/b"]
    assert store.perform(List("h/none/")) == Items([], complete=True)


def test_a_long_listing_ends_early_where_enough_is_enough(store: BucketClient, server: FaultyS3) -> None:
    for number in range(2_500):
        server.put(f"below/here/h/c/{number:04}", b"")
    with server.counted() as made:
        page = store.perform(List("h/c/", enough=10))
    assert len(made) == 1
    assert not page.complete
    assert [item.key for item in page.items] == [f"h/c/{number:04}" for number in range(len(page.items))]
    rest = store.perform(List("h/c/", after=page.items[-1].key))
    assert rest.complete
    assert len(page.items) + len(rest.items) == 2_500


def test_a_store_that_lists_in_no_order_is_listed_to_its_end(
    store: BucketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [[f"h/{number:04}" for number in range(1_000, 2_000)], [f"h/{number:04}" for number in range(1_000)]]
    when = reading._EPOCH

    def listing(*_: object, **__: object) -> Iterator[list[dict[str, Any]]]:
        for page in pages:
            # The order of a page alone tells nothing: here the first goes down only at its end.
            yield [{"path": key, "size": 1, "last_modified": when, "e_tag": None} for key in (*page[1:], page[0])]

    monkeypatch.setattr("obstore.list", listing)
    listed = store.perform(List("h/", enough=5))
    assert listed == Items([Item(f"h/{number:04}", 1, 0) for number in range(2_000)], complete=True)
    # Nor does such a store always begin where it is asked to.
    behind = store.perform(List("h/", after="h/1989"))
    assert behind == Items([Item(f"h/{number:04}", 1, 0) for number in range(1_990, 2_000)], complete=True)


def test_requests_side_by_side_give_their_results_in_order(store: BucketClient) -> None:
    tokens = store.perform(All([Put(f"d/{number}", str(number).encode()) for number in range(100)]))
    assert len(set(tokens)) == 100
    found = store.perform(All([Get(f"d/{number}") for number in range(100)]))
    assert [one.body for one in found] == [str(number).encode() for number in range(100)]
    assert store.perform(All([])) == []
    assert store.perform(All([Get("d/1"), Get("d/none"), Put("d/1", b"", ABSENT)]))[1:] == [None, None]


def test_of_requests_side_by_side_all_have_ended_when_one_has_failed(store: BucketClient, server: FaultyS3) -> None:
    server.fail(Fault.DENIED, key="below/here/d/0")
    with pytest.raises(InvalidError):
        store.perform(All([Put(f"d/{number}", b"x") for number in range(20)]))
    assert len(server.objects) == 19


def test_steps_are_run_to_their_end_and_see_results_and_errors(store: BucketClient, server: FaultyS3) -> None:
    server.fail(Fault.DENIED, operation="GET")

    def steps() -> Steps[list[Any]]:
        token = yield Put("h/a", b"1", ABSENT)
        caught = None
        try:
            yield Get("h/a")
        except InvalidError as error:
            caught = error
        yield Pause(0.001)
        return [token, caught, (yield All([Get("h/a")]))]

    token, caught, found = store.run(steps())
    assert "GET h/a" in str(caught)
    assert found == [Object(b"1", token, 1)]


def test_steps_that_fail_are_closed(store: BucketClient) -> None:
    closed = []

    def steps() -> Steps[None]:
        try:
            yield Get("h/a", start=5, stop=1)
        finally:
            closed.append(True)

    with pytest.raises(InvalidError):
        store.run(steps())
    assert closed == [True]


def test_many_threads_may_ask_at_once(store: BucketClient) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                key = f"h/{number}/{turn}"
                store.perform(All([Put(key, b"x"), Put(f"{key}-b", b"y")]))
                assert store.perform(Get(key)).body == b"x"
        except BaseException as error:  # noqa: BLE001 - it is what the test looks for
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(store.perform(List("h/")).items) == 800


@pytest.mark.parametrize(
    ("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed"), (400, "MalformedXML")]
)
def test_a_store_without_bulk_delete_loses_its_keys_one_by_one(
    status: int, code: str, store: BucketClient, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = server._perform

    def refuse(request: wire.Request, record: wire.Record) -> wire.Answer:
        bulk = request.operation == "DELETE" and not request.key
        return wire.error(status, code) if bulk else perform(request, record)

    monkeypatch.setattr(server, "_perform", refuse)
    keys = tuple(f"d/{number}" for number in range(5))
    bulk = []
    for _ in range(2):
        store.perform(All([Put(key, b"") for key in keys]))
        with server.counted() as made:
            store.perform(Delete((*keys, "d/none")))
        assert server.objects == {}
        bulk.append(sum(len(record.keys) > 1 for record in made))
    assert bulk[0] >= 1
    assert bulk[1] == 0  # once it is known it is not tried again


# --- what is written once, and what is not


def test_a_storage_class_is_that_of_what_never_changes(
    opener: Opener, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = server._perform
    classes: dict[str, str | None] = {}

    def look(request: wire.Request, record: wire.Record) -> wire.Answer:
        if request.operation in {"PUT", "MULTIPART_CREATE"}:
            classes[request.key.removeprefix("below/here/")] = request.headers.get("x-amz-storage-class")
        return perform(request, record)

    monkeypatch.setattr(server, "_perform", look)
    store = opener(storage_class="STANDARD_IA")
    store.perform(Put("h/a", b"1", ABSENT))
    store.perform(Put("d/a", b"1"))
    with Upload(store, "d/small") as upload:
        upload.write(b"x")
    with Upload(store, "d/large") as upload:
        upload.write(bytes(9 * MIB))
    assert classes == {"h/a": None, "d/a": "STANDARD_IA", "d/small": "STANDARD_IA", "d/large": "STANDARD_IA"}


# --- failures


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fault", [*NEVER_SAID, *BROKEN, Fault.HANG])
def test_a_conditional_put_is_sent_once_and_without_proof_it_is_none(
    fault: Fault, after: bool, opener: Opener, server: FaultyS3
) -> None:
    store = opener(timeout=3 if fault is Fault.HANG else 10)
    server.fail(fault, after=after)
    with server.counted() as made:
        assert store.perform(Put("h/a", b"1", ABSENT)) is None
    assert [record.operation for record in made] == ["PUT"]
    assert ("below/here/h/a" in server.objects) == after
    found = store.perform(Get("h/a"))
    token = found.token if found else store.perform(Put("h/a", b"1", ABSENT))
    server.fail(fault, after=after)
    with server.counted() as made:
        assert store.perform(Put("h/a", b"2", token)) is None
    assert len(made) == 1
    assert server.objects["below/here/h/a"] == (b"2" if after else b"1")


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.TIMEOUT, Fault.INTERNAL, Fault.SLOW_DOWN, *BROKEN])
@pytest.mark.parametrize("request_", [Get("d/a"), Put("d/a", b"1"), List("d/"), Delete(("d/a", "d/b"))])
def test_what_may_be_repeated_is_until_there_is_an_answer(
    fault: Fault, request_: Request, store: BucketClient, server: FaultyS3
) -> None:
    server.put("below/here/d/a", b"1")
    server.fail(fault, times=2)
    with server.counted() as made:
        store.perform(request_)
    assert len(made) >= 3
    assert server.objects == ({} if isinstance(request_, Delete) else {"below/here/d/a": b"1"})


def test_an_answer_that_breaks_off_is_asked_for_again(store: BucketClient, server: FaultyS3) -> None:
    server.put("below/here/d/a", bytes(range(256)) * 5_000)
    server.fail(Fault.TRUNCATE, times=3)
    assert store.perform(Get("d/a")).body == bytes(range(256)) * 5_000


def test_a_bulk_delete_that_leaves_keys_is_repeated(store: BucketClient, server: FaultyS3) -> None:
    server.put("below/here/d/a", b"1")
    server.fail(Fault.ERROR_IN_OK, operation="DELETE")
    store.perform(Delete(("d/a",)))
    assert server.objects == {}


@pytest.mark.parametrize("request_", [Get("d/a"), Put("d/a", b"1"), List("d/"), Delete(("d/a",))])
def test_no_answer_is_unavailable_within_the_timeout(request_: Request, opener: Opener, server: FaultyS3) -> None:
    store = opener(timeout=1.5)
    server.fail(Fault.HANG, times=None)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="no answer in time"):
        store.perform(request_)
    assert time.monotonic() - began < 4.5


def test_a_service_that_is_not_there_is_unavailable(opener: Opener) -> None:
    store = opener(endpoint_url="http://127.0.0.1:1", timeout=0.5)
    with pytest.raises(
        UnavailableError, match=r"s3://bucket/below/here at http://127\.0\.0\.1:1: GET .* cannot connect"
    ):
        store.perform(Get("h/a"))
    assert store.perform(Put("h/a", b"", ABSENT)) is None


@pytest.mark.parametrize("request_", [Get("d/a"), Put("d/a", b""), Put("d/a", b"", ABSENT), List("d/"), Delete(("a",))])
def test_a_refusal_says_what_was_refused_and_what_to_do(
    request_: Request, store: BucketClient, server: FaultyS3
) -> None:
    server.fail(Fault.DENIED, times=None)
    with pytest.raises(InvalidError, match=r"(GET|PUT|LIST|DELETE) .*AccessDenied.*s3:ListBucket") as caught:
        store.perform(request_)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "request_",
    [
        Get("d/a"),
        Put("d/a", b""),
        Put("d/a", b"", ABSENT),
        Put("d/a", b"", Token('"x"', None)),
        List("d/"),
        Delete(("a",)),
    ],
)
def test_a_bucket_that_is_not_there_is_an_invalid_url(request_: Request, opener: Opener) -> None:
    store = opener("s3://nowhere/x")
    with pytest.raises(InvalidError, match="no such bucket"):
        store.perform(request_)


BODY = (
    "Object at location x: Error performing GET https://host/bucket/x?X-Amz-Signature=SIGNATURE-42&a=b in 2ms - Server "
    "returned non-2xx status code: 403 Forbidden: <?xml><Error><Code>SignatureDoesNotMatch</Code><Message>Not the same "
    f"for {SECRET}.</Message><CanonicalRequest>x-amz-security-token:SESSION-TOKEN-42</CanonicalRequest></Error>"
    '\n\nDebug source:\nStatus { body: "SESSION-TOKEN-42" }'
)


def test_no_secret_is_in_an_error_or_its_cause() -> None:
    place = Address("s3://bucket", None, [SECRET, None, ""], "check the keys")
    ours = place.explain(OSError(BODY), "GET x")
    try:
        raise ours
    except InvalidError as error:
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__) + repr(place)
    assert "SignatureDoesNotMatch" in str(ours)
    assert "GET x" in str(ours)
    assert [word for word in (SECRET, "SIGNATURE-42", "SESSION-TOKEN-42") if word in shown] == []
    assert type(ours.__cause__) is OSError
    assert ours.__context__ is None


def test_the_driver_s_own_text_is_not_the_context_of_an_error(store: BucketClient, server: FaultyS3) -> None:
    server.fail(Fault.DENIED, times=None)
    for request in (Get("d/a"), Put("d/a", b"", ABSENT)):
        with pytest.raises(InvalidError) as caught:
            store.perform(request)
        assert caught.value.__context__ is None
        assert "Debug source" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("status code: 301 Moved Permanently: <Error><Code>PermanentRedirect</Code>", InvalidError, "region"),
        ("status code: 400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>", InvalidError, "region"),
        ("status code: 400 Bad Request: <Code>ExpiredToken</Code>", InvalidError, "refused"),
        ("status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>", InvalidError, "clock"),
        ("status code: 400 Bad Request: <Code>EntityTooLarge</Code>", InvalidError, "EntityTooLarge"),
        ("status code: 501 Not Implemented: <Code>NotImplemented</Code>", UnsupportedError, "cannot"),
        ("failed for key d/a: denied (code: AccessDenied)", InvalidError, "refused"),
        (
            "Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error",
            UnavailableError,
            "machine",
        ),
        ("PUT http://169.254.169.254/latest/api/token: status code: 403 Forbidden", InvalidError, "machine"),
        ("status code: 404 Not Found: <Code>NoSuchKey</Code>", NotFoundError, "no such key"),
        ("what nobody has seen before", UnavailableError, "broke"),
    ],
)
def test_a_failure_is_named_by_what_to_do_next(text: str, kind: type[Exception], says: str) -> None:
    ours = Address("s3://bucket", None, [], "check the keys").explain(OSError(text), "GET x")
    assert type(ours) is kind
    assert says in str(ours)


# --- large objects


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 3])
def test_what_is_uploaded_in_pieces_is_downloaded_in_pieces(size: int, store: BucketClient, server: FaultyS3) -> None:
    whole = os.urandom(size)
    with server.counted() as made, Upload(store, "d/blob") as upload:
        for start in range(0, size, 777_777):
            upload.write(whole[start : start + 777_777])
    assert (len(made) == 1) == (size <= 8 * MIB)
    assert server.objects == {"below/here/d/blob": whole}
    pieces = list(download(store, "d/blob") or ())
    assert b"".join(pieces) == whole
    assert [len(piece) for piece in pieces[:-1]] == [MIB] * (size // MIB - (size % MIB == 0 and size > 0))


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 10), (5, None), (3 * MIB, 5 * MIB), (0, 99 * MIB), (6 * MIB - 1, None), (6 * MIB, None),
                        (9 * MIB, 10 * MIB), (7, 7), (9, 2)]
)  # fmt: skip
def test_a_part_is_downloaded(start: int, stop: int | None, store: BucketClient, server: FaultyS3) -> None:
    whole = os.urandom(6 * MIB)
    server.put("below/here/d/blob", whole)
    assert b"".join(download(store, "d/blob", start=start, stop=stop) or ()) == whole[start:stop]


def test_a_download_of_nothing_is_none(store: BucketClient) -> None:
    assert download(store, "d/none") is None


def test_a_download_survives_a_connection_that_breaks_again_and_again(store: BucketClient, server: FaultyS3) -> None:
    whole = os.urandom(6 * MIB)
    server.put("below/here/d/blob", whole)
    server.fail(Fault.TRUNCATE, times=6, where=0.4)
    with server.counted() as made:
        assert b"".join(download(store, "d/blob") or ()) == whole
    assert sum(record.sent for record in made) < 2 * len(whole)


def test_a_download_goes_on_as_long_as_it_comes_forward(
    store: BucketClient, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver resumes by itself a few times: this one does not, and brings a single piece each time."""

    class Breaks:
        def __init__(self, key: str, start: int, stop: int | None) -> None:
            self._result = ask(key, start, stop)
            self.meta = self._result.meta

        def stream(self, min_chunk_size: int) -> Iterator[bytes]:
            yield next(iter(self._result.stream(min_chunk_size)))
            raise OSError("the connection broke")

    ask = store.reader.stream
    monkeypatch.setattr(store.reader, "stream", Breaks)
    monkeypatch.setattr("time.sleep", lambda _: None)
    whole = os.urandom(12 * MIB)
    server.put("below/here/d/blob", whole)
    assert b"".join(download(store, "d/blob", start=7) or ()) == whole[7:]


@pytest.mark.slow
def test_a_download_that_does_not_come_forward_ends(opener: Opener, server: FaultyS3) -> None:
    store = opener(timeout=0.5)
    server.put("below/here/d/blob", bytes(6 * MIB))
    server.fail(Fault.TRUNCATE, times=None, where=0.0)
    with pytest.raises(UnavailableError):
        list(download(store, "d/blob") or ())


def test_what_is_removed_while_it_is_downloaded_is_not_found(store: BucketClient, server: FaultyS3) -> None:
    server.put("below/here/d/blob", bytes(6 * MIB))
    server.fail(Fault.TRUNCATE, where=0.5)
    pieces = download(store, "d/blob")
    assert pieces is not None
    next(pieces)
    server.delete("below/here/d/blob")
    with pytest.raises(NotFoundError):
        list(pieces)


@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_an_upload_that_is_given_up_leaves_nothing(size: int, store: BucketClient, server: FaultyS3) -> None:
    with pytest.raises(ZeroDivisionError), Upload(store, "d/blob") as upload:  # noqa: PT012 - it must be inside
        for _ in range(0, size, MIB):
            upload.write(bytes(MIB))
        raise ZeroDivisionError
    assert server.objects == {}
    assert server.uploads == []


@pytest.mark.parametrize("operation", ["MULTIPART_CREATE", "MULTIPART_PART", "MULTIPART_COMPLETE"])
@pytest.mark.parametrize("fault", [Fault.INTERNAL, Fault.CLOSE])
def test_an_upload_survives_a_fault(fault: Fault, operation: str, store: BucketClient, server: FaultyS3) -> None:
    server.fail(fault, operation=operation)
    whole = os.urandom(20 * MIB)
    with Upload(store, "d/blob") as upload:
        upload.write(whole)
    assert server.objects == {"below/here/d/blob": whole}


@pytest.mark.parametrize("operation", ["MULTIPART_CREATE", "MULTIPART_PART", "MULTIPART_COMPLETE"])
def test_an_upload_without_an_answer_is_unavailable_and_leaves_nothing(
    operation: str, opener: Opener, server: FaultyS3
) -> None:
    store = opener(timeout=1)
    server.fail(Fault.INTERNAL, operation=operation, times=None)
    with pytest.raises(UnavailableError), Upload(store, "d/blob") as upload:  # noqa: PT012 - whichever piece it strikes
        for _ in range(30):
            upload.write(bytes(MIB))
    assert server.objects == {}
    assert server.uploads == []


def test_pieces_may_come_from_one_thread_after_the_other(store: BucketClient, server: FaultyS3) -> None:
    with Upload(store, "d/blob") as upload:
        for number in range(20):
            thread = threading.Thread(target=upload.write, args=(bytes([number]) * MIB,))
            thread.start()
            thread.join()
    assert len(server.objects["below/here/d/blob"]) == 20 * MIB


# --- closing


def test_a_closed_store_answers_nothing_more(store: BucketClient) -> None:
    store.close()
    store.close()
    with pytest.raises(InvalidError, match="closed"):
        store.perform(Get("h/a"))


def test_closing_wakes_who_pauses(store: BucketClient) -> None:
    threading.Timer(0.1, store.close).start()
    began = time.monotonic()
    with pytest.raises(InvalidError, match="closed"):
        store.perform(Pause(60))
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_store_that_came_through_a_fork_says_so(store: BucketClient, tmp_path: Path) -> None:
    store.perform(Put("h/a", b"1"))
    said = tmp_path / "said"
    child = os.fork()
    if child == 0:
        try:
            store.perform(Get("h/a"))
        except InvalidError as error:
            said.write_text(str(error))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert "fork" in said.read_text()


def test_a_store_shows_where_it_is_and_no_secret(store: BucketClient) -> None:
    assert "s3://bucket/below/here" in repr(store)
    assert SECRET not in repr(store) + str(vars(store))
