"""Published list prices and latencies of S3 Standard, which this bench takes as given."""

from __future__ import annotations

from typing import Final

__all__ = ["DOLLARS_PER_MILLION", "LATENCIES", "PRICES_OF"]

PRICES_OF: Final = "2026-11-23"
"""The day of the list prices of S3 Standard, us-east-1. Traffic within the region is free."""

DOLLARS_PER_MILLION: Final = {"PUT": 5.00, "POST": 5.00, "LIST": 5.00, "GET": 0.40, "HEAD": 0.40, "DELETE": 0.00}
"""Each request is billed: a refused conditional PUT costs as much as one that wrote."""

LATENCIES: Final = {"PUT": 0.060, "POST": 0.060, "DELETE": 0.060, "GET": 0.020, "HEAD": 0.020, "LIST": 0.100}
"""In seconds, for objects of some kilobytes. PUT: compare-and-set on one object took 58 to 68 ms (C. Douglas, January
2026). LIST: 100 ms (napkin-math, March 2026). GET: the first byte of a small object, where these two and AWS's own
guide say 20 to 100 ms; the low end, in favour of contenders that read one object a message."""
