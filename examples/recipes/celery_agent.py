"""An agent in Celery's worker processes: `celery -A celery_agent worker`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

import stowfast.sync

app = Celery("agent", broker=os.environ.get("BROKER", "redis://localhost"))
app.conf.task_acks_late = True  # a task of a worker that died is delivered again
app.conf.task_reject_on_worker_lost = True


@worker_process_init.connect
def open_stores(**_: Any) -> None:
    app.stores = stowfast.sync.open(os.environ.get("STORES", "sqlite:///agent.db"))


@worker_process_shutdown.connect
def close_stores(**_: Any) -> None:
    app.stores.close()


@app.task(bind=True, name="answer")
def answer(self: Any, chat: str, question: str) -> None:
    """Answer a question. A task that is delivered twice stores its messages once."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": f"You said: {question}"}]
    app.stores.messages.add_messages(chat, messages, op_id=self.request.id)
