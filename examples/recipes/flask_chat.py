"""A chat for gunicorn's worker processes: `gunicorn -c gunicorn_conf.py flask_chat:app`."""

from __future__ import annotations

from typing import Any

from flask import Flask, request

app = Flask(__name__)


def stores() -> Any:
    """Return the stores of this worker, opened after the fork: see gunicorn_conf.py."""
    return app.extensions["stowfast"]


@app.post("/chats/<chat>")
def say(chat: str) -> dict[str, int]:
    """Store a message. A client that got no answer repeats the call with the same key."""
    message = {"role": "user", "content": request.get_json()["content"]}
    return {"position": stores().messages.add_message(chat, message, op_id=request.headers["Idempotency-Key"])}


@app.get("/chats/<chat>")
def history(chat: str) -> list[dict[str, Any]]:
    return stores().messages.get_messages(chat)
