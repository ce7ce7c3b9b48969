"""A function of AWS Lambda that stores messages of an SQS queue. Its handler is `lambda_handler.handler`."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

import stowfast.sync


@cache
def stores() -> stowfast.sync.Stores:
    """Open once for each instance of the function: the calls that follow find it open."""
    return stowfast.sync.open(os.environ["STORES"])  # s3://my-bucket/agents, with the rights of the function's role


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Store each message once, however often the queue delivers it, and name those that must come again."""
    failed = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        try:
            stores().messages.add_message(body["chat"], body["message"], op_id=record["messageId"])
        except stowfast.UnavailableError:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
