"""Workers that share long tasks and may be killed at any moment: start several, kill some, start them again.

    python examples/resumable_worker.py [URL]

Each step of a task writes a line to a file. Stowfast and that file cannot change in one move: a worker may die with its
line written and nothing recorded. Once is once all the same by *look, do, record*: whoever goes on looks first whether
the effect is there. So what keeps the effects, `send` here, knows them by a key; and it refuses a worker that was only
asleep while another went on, by the token of the lease, which is greater with every owner.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from contextlib import suppress
from datetime import timedelta

import stowfast

TTL = timedelta(seconds=5)  # after so long without a sign of life others may go on with a task
PAUSE = 0.1  # what a model and its tools would take


def send(path: str, key: str, lease: stowfast.Lease) -> str:
    """Look and do, as one move: write the line of a step unless it is there, and return it."""
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed, however this process ends
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        file.truncate(file.tell() - len(torn))  # whoever wrote it died before its end
        if lines and lease.token < int(lines[-1].split()[1]):
            raise stowfast.ConflictError(f"{path}: a later owner has written here: stop")
        line = next((line for line in lines if line.startswith(f"{key} ".encode())), None)
        if line is None:
            line = f"{key} {lease.token} {lease.owner}".encode()
            file.write(line + b"\n")
            file.flush()
        os.fsync(file.fileno())  # a line that was found, too: it must outlast its record
    return line.decode()


async def work(tasks: stowfast.Tasks, lease: stowfast.Lease) -> None:
    """Go on with a task from where it stands, to its end."""
    name, state = lease.task_id, await tasks.load(lease.task_id)
    assert state is not None
    sent, letters = state.data["sent"], state.data["letters"]
    while len(sent) < letters:
        key = f"letter-{len(sent)}"
        if key not in state.steps:
            await asyncio.sleep(PAUSE)
            line = await asyncio.to_thread(send, f"{name}.txt", key, lease)
            state.steps[key] = await tasks.record(name, key, line, lease=lease)
            print(lease.owner, name, "sent", key, flush=True)
        sent.append(state.steps[key])
        if len(sent) % 5 == 0 or len(sent) == letters:  # a save covers these steps: they leave the ledger
            state.status = "working" if len(sent) < letters else "completed"
            saved = await tasks.save(state, lease=lease)
            print(lease.owner, name, saved.status, saved.version, flush=True)


async def hold(tasks: stowfast.Tasks, lease: stowfast.Lease) -> None:
    while True:
        await asyncio.sleep(TTL.total_seconds() / 3)
        await tasks.renew(lease, TTL)


async def main(url: str) -> None:
    owner = f"worker-{os.getpid()}"
    async with stowfast.open(url) as stores:
        for name in ("spring", "summer", "autumn"):
            with suppress(stowfast.ConflictError):  # it is there already
                await stores.tasks.save(stowfast.TaskState(task_id=name, data={"letters": 12, "sent": []}), expect=0)
        while await stores.tasks.list(status="working", limit=1):
            lease = await stores.tasks.claim_next(owner, TTL)
            if lease is None:  # all are taken, some perhaps by the dead
                await asyncio.sleep(TTL.total_seconds() / 5)
                continue
            print(owner, lease.task_id, "claimed", lease.token, flush=True)
            try:
                async with asyncio.TaskGroup() as group:
                    holding = group.create_task(hold(stores.tasks, lease))
                    await work(stores.tasks, lease)
                    holding.cancel()
            except* (stowfast.ConflictError, stowfast.UnavailableError) as stopped:
                print(owner, lease.task_id, "stopped:", *map(repr, stopped.exceptions), flush=True)
            await stores.tasks.release(lease)  # does nothing where another has it by now


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["sqlite:///mailings.db"]))
