"""No test sends traces to anybody, even where a key is set."""

from __future__ import annotations

from agents import set_tracing_disabled

set_tracing_disabled(disabled=True)
