"""Retention by rule: bounds kept in the backend, and the removal of data outside them by a sweep."""

from __future__ import annotations

from stowfast.stores.retention.rules import Rules

__all__ = ["Rules"]
