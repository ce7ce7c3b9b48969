"""A pytest plugin: LangGraph's strict mode, where a saver reads back safe types and those of the graph alone."""

from __future__ import annotations

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
