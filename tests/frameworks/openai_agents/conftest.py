"""No test sends traces to anybody, even where a key is set, and no process that it starts."""

from __future__ import annotations

import os

from agents import set_tracing_disabled

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
set_tracing_disabled(disabled=True)
