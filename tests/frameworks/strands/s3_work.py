"""Sessions and snapshots on S3: by Strands' own stores, and by ours."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from strands import Agent
from strands.models.model import Model
from strands.session import S3SessionManager
from strands.session.snapshot_session_manager import SnapshotSessionManager
from strands.storage import S3Storage

from stowfast.adapters.strands import StowfastSessionManager, StowfastStorage
from tests.frameworks.s3_work import TURNS, Bucket, Opening, do, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager

SESSION, AGENT = "session", "agent"
LAST = 10
*SAID, MORE = turns(TURNS + 1)


class Scripted(Model):
    """Gives the answers of the conversation."""

    def update_config(self, **model_config: Any) -> None:
        """Do nothing."""

    def get_config(self) -> Any:
        """Return no settings."""
        return {}

    def structured_output(self, *arguments: Any, **options: Any) -> Any:
        """Refuse."""
        raise NotImplementedError

    async def stream(self, messages: Any, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        """Yield the answer to the newest message."""
        answers = dict([*SAID, MORE])
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockStart": {"start": {}}}
        yield {"contentBlockDelta": {"delta": {"text": answers[messages[-1]["content"][0]["text"]]}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


class Sessions:
    """The steps over a session manager. A step is in a new process."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def opened(self) -> AbstractContextManager[Any]:
        """Give the session manager."""
        raise NotImplementedError

    @contextmanager
    def agent(self) -> Iterator[Agent]:
        """Give the agent as its session has it."""
        with self.opened() as manager:
            yield Agent(model=Scripted(), agent_id=AGENT, session_manager=manager, callback_handler=None)

    def turns(self) -> None:
        """Begin the session."""
        with self.agent() as agent:
            for question, _ in SAID:
                agent(question)

    def load(self) -> None:
        """Restore the agent."""
        with self.agent() as agent:
            assert texts(agent.messages) == flat(*SAID)

    def more(self) -> None:
        """Restore the agent, and go on by one turn."""
        with self.agent() as agent:
            agent(MORE[0])


class Messages(Sessions):
    """A session as messages."""

    def last(self) -> None:
        """Read the newest messages, whose number is known."""
        with self.opened() as manager:
            found = manager.session_repository.list_messages(SESSION, AGENT, limit=LAST, offset=2 * TURNS - LAST)
            assert texts(one.to_message() for one in found) == flat(*SAID)[-LAST:]

    def delete(self) -> None:
        """Delete the session."""
        with self.opened() as manager:
            manager.session_repository.delete_session(SESSION)


class Ours(Messages):
    @contextmanager
    def opened(self) -> Iterator[Any]:
        with StowfastSessionManager(SESSION, self.bucket.url) as manager:
            yield manager


class Theirs(Messages):
    @contextmanager
    def opened(self) -> Iterator[Any]:
        bucket = self.bucket
        yield S3SessionManager(SESSION, bucket.name, bucket.prefix, endpoint_url=bucket.endpoint)


class Snapshots(Sessions):
    """A session as one snapshot, which each turn writes anew."""

    def delete(self) -> None:
        """Delete the session."""
        with self.opened() as manager:
            asyncio.run(manager.delete_session())


class OurSnapshots(Snapshots):
    @contextmanager
    def opened(self) -> Iterator[Any]:
        storage = StowfastStorage(self.bucket.url)
        yield SnapshotSessionManager(SESSION, storage=storage)
        asyncio.run(storage.close())


class TheirSnapshots(Snapshots):
    @contextmanager
    def opened(self) -> Iterator[Any]:
        os.environ["AWS_ENDPOINT_URL_S3"] = self.bucket.endpoint  # it has no parameter for it
        yield SnapshotSessionManager(SESSION, storage=S3Storage(self.bucket.name, prefix=self.bucket.prefix))


def texts(messages: Any) -> list[str]:
    return [message["content"][0]["text"] for message in messages]


def flat(*said: tuple[str, str]) -> list[str]:
    return [text for turn in said for text in turn]


if __name__ == "__main__":
    do(
        {
            "opening": Opening,
            "ours": Ours,
            "theirs": Theirs,
            "our_snapshots": OurSnapshots,
            "their_snapshots": TheirSnapshots,
        }
    )
