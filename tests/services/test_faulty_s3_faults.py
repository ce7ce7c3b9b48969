"""The effect of each fault on a client and on the store: the table of obstore 0.12.1 below the protocol."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError, PreconditionError

from tests.services.faulty_s3.clients import obstore_of, put, read
from tests.services.faulty_s3.server import Fault, FaultyS3, Quirks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore.store import S3Store

MB = 1024 * 1024
LOST = [Fault.CLOSE, Fault.RESET, Fault.HANG]
BUSY = [Fault.TOO_MANY, Fault.TIMEOUT, Fault.INTERNAL, Fault.SLOW_DOWN]
WHOLE = [Fault.TRUNCATE, Fault.FLIP, Fault.DRIP]  # the effect takes place, and a PUT's answer has no body to spoil


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def store(server: FaultyS3) -> S3Store:
    return obstore_of(server)


def hurried(server: FaultyS3, fault: Fault, retries: int = 0) -> S3Store:
    """A client with a short timeout where it is needed: a busy machine is slow too."""
    return obstore_of(server, retries=retries, timeout="500ms" if fault is Fault.HANG else "20s")


def create(store: S3Store, key: str = "k") -> None:
    obstore.put(store, key, b"new", mode="create")


def raised(act: Callable[[], object]) -> type[BaseException] | None:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - which one it is, is what is asked
        return type(error)
    return None


def expected(fault: Fault, *, update: bool) -> type[BaseException]:
    if fault is Fault.CONFLICT:
        return AlreadyExistsError  # even for an update
    if fault is Fault.PRECONDITION:
        return PreconditionError if update else AlreadyExistsError
    return PermissionDeniedError if fault is Fault.DENIED else GenericError


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in {*WHOLE, Fault.HOLD}])
def test_a_write_fails_and_is_or_is_not_done(server: FaultyS3, fault: Fault, after: bool) -> None:
    store = hurried(server, fault)
    done = after and fault is not Fault.LATE
    rule = server.fail(fault, after=after, operation="PUT", key="k", times=2)
    assert raised(lambda: create(store)) is expected(fault, update=False)
    assert server.objects == ({"k": b"new"} if done else {})
    old = put(store, "update", b"old")
    server.fail(fault, after=after, operation="PUT", key=lambda key: key == "update")
    assert raised(lambda: put(store, "update", b"new", old)) is expected(fault, update=True)
    assert server.objects["update"] == (b"new" if done else b"old")
    create_, _, update = server.requests
    assert (create_.fault, create_.applied, update.applied) == (fault, done, done)
    assert (create_.status is None) == (fault in {*LOST, Fault.LATE})
    assert (create_.conditions, update.conditions) == ({"if-none-match": "*"}, {"if-match": old})
    assert rule.struck == 1


@pytest.mark.parametrize(
    ("fault", "after", "puts", "outcome"),
    [
        (Fault.CLOSE, True, 2, AlreadyExistsError),
        (Fault.INTERNAL, True, 2, AlreadyExistsError),
        (Fault.SLOW_DOWN, True, 2, AlreadyExistsError),
        (Fault.RESET, True, 1, GenericError),
        (Fault.HANG, True, 1, GenericError),
        (Fault.CONFLICT, False, 1, AlreadyExistsError),
        (Fault.CLOSE, False, 2, None),
    ],
)
def test_with_retries_obstore_fails_on_its_own_create(
    server: FaultyS3, fault: Fault, after: bool, puts: int, outcome: type[BaseException] | None
) -> None:
    server.fail(fault, after=after, operation="PUT")
    with server.counted() as made:
        assert raised(lambda: create(hurried(server, fault, retries=10))) is outcome
    assert [record.operation for record in made] == ["PUT"] * puts
    assert ("k" in server.objects) == (after or outcome is None)


@pytest.mark.parametrize(
    ("fault", "after", "puts", "outcome"),
    [
        (Fault.CLOSE, True, 2, PreconditionError),
        (Fault.INTERNAL, True, 2, PreconditionError),
        (Fault.RESET, True, 1, GenericError),
        (Fault.HANG, True, 1, GenericError),
        (Fault.CONFLICT, False, 2, None),
    ],
)
def test_with_retries_obstore_fails_on_its_own_update(
    server: FaultyS3, fault: Fault, after: bool, puts: int, outcome: type[BaseException] | None
) -> None:
    store = hurried(server, fault, retries=10)
    old = put(store, "k", b"old")
    server.fail(fault, after=after, operation="PUT")
    with server.counted() as made:
        assert raised(lambda: put(store, "k", b"new", old)) is outcome
    assert len(made) == puts
    assert server.objects == {"k": b"new"}


@pytest.mark.parametrize("fault", [*LOST, *BUSY])
def test_reads_and_listings_fail(server: FaultyS3, fault: Fault) -> None:
    store = hurried(server, fault)
    server.put("k", b"1")
    for operation, act in {"GET": lambda: read(store, "k"), "LIST": lambda: obstore.list(store).collect()}.items():
        server.fail(fault, operation=operation)
        assert raised(act) is GenericError
        assert raised(act) is None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", [*LOST, *BUSY, Fault.ERROR_IN_OK])
def test_a_bulk_delete_fails_and_is_or_is_not_done(server: FaultyS3, fault: Fault, after: bool) -> None:
    store = hurried(server, fault)
    server.put("a", b"1")
    server.put("b", b"1")
    server.fail(fault, after=after, operation="DELETE", key="b")  # one of its keys is enough
    assert raised(lambda: obstore.delete(store, ["a", "b"])) is GenericError
    assert server.objects == ({} if after else {"a": b"1", "b": b"1"})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        *product(["MULTIPART_CREATE", "MULTIPART_PART", "MULTIPART_COMPLETE"], [*LOST, *BUSY]),
        ("MULTIPART_COMPLETE", Fault.ERROR_IN_OK),
    ],
)
def test_an_upload_fails(server: FaultyS3, operation: str, fault: Fault, after: bool) -> None:
    store = hurried(server, fault)

    def upload() -> None:
        with obstore.open_writer(store, "k", buffer_size=5 * MB) as writer:
            writer.write(bytes(6 * MB))

    rule = server.fail(fault, after=after, operation=operation)
    assert raised(upload) is not None
    assert rule.struck == 1
    assert ("k" in server.objects) == (after and operation == "MULTIPART_COMPLETE")


def test_a_body_is_cut_or_spoilt(server: FaultyS3, store: S3Store) -> None:
    body = bytes(100_000)
    server.put("k", body)
    for where in (0.0, 0.3, 0.99):
        server.fail(Fault.TRUNCATE, operation="GET", where=where)
        assert raised(lambda: read(store, "k")) is GenericError
        assert server.requests[-1].sent == int(where * len(body))
        server.fail(Fault.FLIP, operation="GET", where=where)
        spoilt = read(store, "k")
        assert [at for at, byte in enumerate(spoilt) if byte] == [int(where * len(body))]
        assert read(store, "k", range=(0, 10)) == bytes(10)


def test_a_late_write_comes_when_it_is_released(server: FaultyS3, store: S3Store) -> None:
    old = put(store, "k", b"old")
    server.fail(Fault.LATE, operation="PUT", times=2)
    assert raised(lambda: put(store, "k", b"late", old)) is GenericError
    assert raised(lambda: put(store, "k", b"too late", old)) is GenericError
    assert read(store, "k") == b"old"
    assert [(record.status, record.applied) for record in server.release()] == [(None, True), (None, False)]
    assert read(store, "k") == b"late"
    assert server.release() == []


def test_a_late_write_comes_after_so_many_requests(server: FaultyS3, store: S3Store) -> None:
    old = put(store, "k", b"old")
    server.fail(Fault.LATE, operation="PUT", delay=3)
    assert raised(lambda: put(store, "k", b"late", old)) is GenericError
    assert [read(store, "k") for _ in range(3)] == [b"old", b"old", b"late"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_what_is_held_goes_on_when_it_is_released(server: FaultyS3, after: bool) -> None:
    store = obstore_of(server)
    rule = server.fail(Fault.HOLD, after=after, operation="PUT")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(raised, lambda: create(store))
        rule.wait()
        assert server.objects == ({"k": b"new"} if after else {})
        other = raised(lambda: create(store)) if not after else None
        server.release()
        assert (held.result(), other) == (None if after else AlreadyExistsError, None)


def test_which_requests_are_struck(server: FaultyS3, store: S3Store) -> None:
    rule = server.fail(Fault.INTERNAL, operation="PUT", key="a/", times=2, skip=1)
    outcomes = [raised(lambda: put(store, key, b"")) for key in ["a/1", "b/1", "a/2", "a/3", "a/4"]]  # noqa: B023
    assert outcomes == [None, None, GenericError, GenericError, None]
    assert rule.struck == 2
    server.fail(Fault.INTERNAL, times=None)
    assert [raised(lambda: read(store, "a/1")) for _ in range(3)] == [GenericError] * 3
    server.heal()
    assert raised(lambda: read(store, "a/1")) is None


def test_chaos_is_the_same_again_for_each_key() -> None:
    def run(seed: int) -> dict[str, list[Fault | None]]:
        with FaultyS3() as server, server.chaos(seed, 0.5):
            store = obstore_of(server)

            def work(key: str) -> None:
                for number in range(40):
                    raised(lambda: obstore.put(store, key, str(number).encode()))  # noqa: B023
                    raised(lambda: read(store, key))

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, "abcd"))
            return {key: [record.fault for record in server.requests if record.key == key] for key in "abcd"}

    once = run(1)
    assert once == run(1) != run(2)
    drawn = {fault for faults in once.values() for fault in faults}
    assert drawn == {
        None,
        *(Fault.TOO_MANY, Fault.INTERNAL, Fault.SLOW_DOWN, Fault.CLOSE, Fault.RESET, Fault.TRUNCATE, Fault.LATE),
    }


def test_chaos_ends(server: FaultyS3, store: S3Store) -> None:
    with server.chaos(1, 1.0, {Fault.DENIED}):
        assert raised(lambda: create(store)) is PermissionDeniedError
    assert raised(lambda: create(store)) is None


def test_a_counter_survives_chaos_with_a_read_back() -> None:
    """The rule of the protocol: a conditional write without an answer is looked for, never assumed."""
    with FaultyS3(Quirks(versioned=True)) as server:
        put(obstore_of(server), "k", b"start")

        def count(name: str) -> None:
            store = obstore_of(server)
            for number in range(15):
                mine = f"{name}{number}".encode()
                for _ in range(1000):
                    with contextlib.suppress(GenericError):
                        found = obstore.get(store, "k")
                        lines = bytes(found.bytes()).split()
                        if mine in lines:
                            break
                        with contextlib.suppress(PreconditionError, AlreadyExistsError):
                            put(store, "k", b" ".join([*lines, mine]), found.meta["e_tag"])

        with server.chaos(5, 0.3), ThreadPoolExecutor(4) as pool:
            list(pool.map(count, "abcd"))
        server.release()
        lines = server.objects["k"].split()
        assert len(lines) == len(set(lines)) == 61
        # Each of the sixty took a PUT at least, and what strikes the first sixty PUTs of a key is up to the seed alone.
        assert {record.fault for record in server.requests} >= {Fault.CONFLICT, Fault.PRECONDITION, Fault.LATE}


def test_nothing_that_waits_keeps_it_from_ending() -> None:
    before = set(threading.enumerate())
    with ThreadPoolExecutor(3) as pool, FaultyS3() as server:
        store = obstore_of(server)
        waiting: list[Any] = []
        for fault, after in [(Fault.HANG, True), (Fault.HOLD, False), (Fault.HOLD, True)]:
            rule = server.fail(fault, after=after)
            waiting.append(pool.submit(raised, lambda: create(store)))
            rule.wait()
    assert all(result.done() for result in waiting)
    assert set(threading.enumerate()) - before == set()
