"""Each fault at each request of the object-storage engine: every acknowledged write is there, once, and right."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

import stowfast
from stowfast.backends.objects.protocol import commit
from tests.amount import mostly_soak
from tests.chaos.object_lives import Life, afterwards, artifact, conversation, expected_of, large_artifact
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


class Target(NamedTuple):
    """A kind of request of the engine, and its life."""

    operation: str
    is_meant: Callable[[FaultyS3, str], bool]
    life: Callable[[Life], Awaitable[None]] = conversation


def _is_head(key: str) -> bool:
    return "/h/" in key


def _is_blob(key: str) -> bool:
    return "/d/" in key and "/b/" in key


def _is_segment(key: str) -> bool:
    return "/d/" in key and "/b/" not in key


def _is_there(server: FaultyS3, key: str) -> bool:
    return key in server._buckets[server.bucket].current  # not `objects`: it is asked under the server's lock


TARGETS = {
    "head create": Target("PUT", lambda server, key: _is_head(key) and not _is_there(server, key)),
    "head update": Target("PUT", lambda server, key: _is_head(key) and _is_there(server, key)),
    "head read": Target("GET", lambda _, key: _is_head(key)),
    "segment write": Target("PUT", lambda _, key: _is_segment(key)),
    "segment read": Target("GET", lambda _, key: _is_segment(key)),
    "blob write": Target("PUT", lambda _, key: _is_blob(key), artifact),
    "blob read": Target("GET", lambda _, key: _is_blob(key), artifact),
    "upload begin": Target("MULTIPART_CREATE", lambda _, key: _is_blob(key), large_artifact),
    "upload part": Target("MULTIPART_PART", lambda _, key: _is_blob(key), large_artifact),
    "upload end": Target("MULTIPART_COMPLETE", lambda _, key: _is_blob(key), large_artifact),
    "list": Target("LIST", lambda *_: True),
    "delete": Target("DELETE", lambda _, key: _is_segment(key)),
    "delete a blob": Target("DELETE", lambda _, key: _is_blob(key), artifact),
}
READS = {"GET", "LIST"}
WITH_A_BODY = {"GET", "LIST", "DELETE", "MULTIPART_CREATE", "MULTIPART_COMPLETE"}
SLOW = {Fault.HANG, Fault.HOLD, Fault.DRIP}


def possible(fault: Fault, target: Target, *, after: bool) -> bool:
    """Whether a store can do this: no conflict without a condition, no refusal after the effect."""
    operation = target.operation
    conditional = operation == "PUT" and target.is_meant is not TARGETS["blob write"].is_meant
    if fault in {Fault.CONFLICT, Fault.PRECONDITION}:
        return conditional and target.is_meant is not TARGETS["segment write"].is_meant
    if fault is Fault.TRUNCATE:
        return operation in WITH_A_BODY and not after
    if fault is Fault.FLIP:
        return operation == "GET" and not after
    if fault is Fault.ERROR_IN_OK:
        return operation in {"MULTIPART_COMPLETE", "DELETE"}
    if fault is Fault.LATE:
        return operation not in READS and not after
    return not (after and (fault is Fault.DENIED or operation in READS))


CASES = [
    (fault, after)
    for fault in Fault
    for after in (False, True)
    if any(possible(fault, target, after=after) for target in TARGETS.values())
]


QUICK = {Fault.CLOSE, Fault.CONFLICT, Fault.INTERNAL, Fault.LATE}
"""A broken connection, a lost race, an answer that says nothing, an effect that comes later. All others: the soak."""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.mark.parametrize(
    ("fault", "after"),
    mostly_soak(CASES, lambda case: case[0] in QUICK),
    ids=lambda value: getattr(value, "name", "after" if value else "before"),
)
async def test_a_fault_loses_and_doubles_nothing(server: FaultyS3, fault: Fault, after: bool) -> None:
    places = asyncio.Semaphore(12)

    async def one(name: str, target: Target, times: int, where: float) -> Counter[str]:
        async with places:
            return await strike(server, name, target, fault, after=after, times=times, where=where)

    spots = [0.0, 0.001, 0.3, 0.6, 0.9, 0.9999] if fault is Fault.FLIP else [0.5]
    lives = [
        one(name, target, times, where)
        for name, target in TARGETS.items()
        if possible(fault, target, after=after)
        for times in ((1, 3) if name.startswith("head") or fault is Fault.FLIP else (1,) if after else (3,))
        for where in spots
    ]
    ended = await asyncio.gather(*lives, return_exceptions=True)
    if failed := [error for error in ended if isinstance(error, Exception)]:
        raise ExceptionGroup(f"{len(failed)} of {len(lives)} lives went wrong", failed)
    counts = sum((one for one in ended if isinstance(one, Counter)), Counter())
    print(", ".join(f"{what}: {count:,}" for what, count in sorted(counts.items())))


async def strike(
    server: FaultyS3, name: str, target: Target, fault: Fault, *, after: bool, times: int, where: float
) -> Counter[str]:
    """Live through one kind of fault, in a bucket of its own, and compare all with the answers."""
    case = f"{fault.name} {name} {after} {times} {where}"
    prefix = "".join(letter if letter.isalnum() else "-" for letter in case.lower())
    life = Life(server, prefix, expected_of(fault), timeout=2 if fault in SLOW else 30)
    async with life.open() as stores:
        await stores.messages.count("first")  # the store is tested before anything fails
    rule = server.fail(
        fault, after=after, operation=target.operation, times=times, where=where,
        key=lambda key: key.startswith(prefix) and target.is_meant(server, key),
    )  # fmt: skip
    try:
        await target.life(life)
        rule.times = 0
        server.release()
        await afterwards(life)
    except BaseException as error:
        error.add_note(case)
        raise
    finally:
        life.close()
    assert rule.struck, f"{case}: no request was of this kind"
    return life.counts + Counter({"lives": 1, "struck": rule.struck})


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "fault",
    [Fault.CONFLICT, Fault.PRECONDITION, Fault.INTERNAL, Fault.CLOSE, Fault.RESET, Fault.LATE],
    ids=lambda one: one.name,
)
@pytest.mark.parametrize("question", [Fault.INTERNAL, Fault.DENIED], ids=lambda one: one.name)
async def test_a_commit_that_was_never_answered_is_repeated_and_there_once(
    server: FaultyS3, monkeypatch: pytest.MonkeyPatch, question: Fault, fault: Fault, after: bool, named: bool
) -> None:
    monkeypatch.setattr(commit, "PATIENCE", 200_000)
    prefix = f"unanswered-{question.name}-{fault.name}-{after}-{named}".lower().replace(" ", "-")
    life = Life(server, prefix, (stowfast.UnavailableError,), timeout=1)
    try:
        async with life.open() as stores, life.open() as others:
            await life.add(stores, "kept", "0")
            # The one PUT may be done; whether it was is asked for in vain. Also where the answer is no, as when
            # credentials run out just then: that is no answer to the PUT.
            put = server.fail(fault, after=after, operation="PUT", key=f"{prefix}/h/")
            get = server.fail(question, operation="GET", key=f"{prefix}/h/", times=None)
            with pytest.raises(stowfast.UnavailableError):
                await stores.messages.add_message("kept", {"text": "1"}, op_id="op" if named else None)
            assert (put.struck, get.struck > 0) == (1, True)
            get.times = 0
            monkeypatch.setattr(commit, "PATIENCE", 60_000_000)  # these calls shall succeed, also on a busy machine
            if named and fault is Fault.LATE:
                server.release()  # now it is done, or whoever came first has made it void
            if named:
                assert await stores.messages.add_message("kept", {"text": "1"}, op_id="op") == 1
            assert await others.messages.add_message("kept", {"text": "2"}) == (
                2 if named or (after and fault is not Fault.LATE) else 1
            )
            server.release()
            texts = [message["text"] for message in await others.messages.get_messages("kept")]
            assert texts[0] == "0"
            assert texts[1:] == (["1", "2"] if named or (after and fault is not Fault.LATE) else ["2"])
            assert await stores.messages.count("kept") == len(texts)
    finally:
        life.close()


@pytest.mark.parametrize("shorter", [True, False], ids=["shorter", "longer"])
async def test_a_head_that_is_replaced_while_its_body_comes_is_read_again(server: FaultyS3, shorter: bool) -> None:
    prefix = f"replaced-{shorter}".lower()
    life = Life(server, prefix, (), timeout=30)
    message = {"text": "x" * 100_000}
    try:
        async with life.open() as writer, life.open() as reader:
            await writer.messages.add_message("c", message)
            await writer.messages.add_message("c", message)
            # The body breaks off; the driver asks for its rest, which is that of another head by then.
            server.fail(Fault.TRUNCATE, operation="GET", key=f"{prefix}/h/", where=0.9)
            rest = server.fail(Fault.HOLD, operation="GET", key=f"{prefix}/h/")
            reading = asyncio.create_task(reader.messages.get_messages("c"))
            await asyncio.to_thread(rest.wait)
            if shorter:
                await writer.messages.delete("c")
            else:
                await writer.messages.add_message("c", message)
            server.release()
            assert await reading == ([] if shorter else [message] * 3)
    finally:
        life.close()
