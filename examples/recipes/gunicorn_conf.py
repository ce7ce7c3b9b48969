"""Opens the stores in each worker: locks and threads do not come through a fork."""

from __future__ import annotations

import os
from typing import Any

from flask_chat import app

import stowfast.sync

preload_app = True  # the code is shared; the stores are not
workers, threads = 2, 4


def post_fork(server: Any, worker: Any) -> None:
    app.extensions["stowfast"] = stowfast.sync.open(os.environ.get("STORES", "sqlite:///chat.db"))


def worker_exit(server: Any, worker: Any) -> None:
    app.extensions["stowfast"].close()
