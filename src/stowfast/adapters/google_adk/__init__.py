"""Google ADK: sessions and artifacts in any backend. `pip install 'stowfast[google-adk]'`.

Give `StowfastSessionService("sqlite:///agent.db")` and `StowfastArtifactService("sqlite:///agent.db")` to a `Runner`.
"""

from __future__ import annotations

from stowfast.adapters.google_adk.artifacts import StowfastArtifactService
from stowfast.adapters.google_adk.schemes import register
from stowfast.adapters.google_adk.sessions import StowfastSessionService

__all__ = ["StowfastArtifactService", "StowfastSessionService", "register"]
