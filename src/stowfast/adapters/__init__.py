"""Adapters put Stowfast under agent frameworks. Each is a module of its own, behind an extra of its name."""

from __future__ import annotations

from stowfast.adapters.opener import Opener

__all__ = ["Opener"]
