"""URL schemes for `adk web`, `adk api_server` and `adk run`: `stowfast+` before a URL of Stowfast."""

from __future__ import annotations

from typing import Any, Final

from stowfast.adapters.extras import extra
from stowfast.adapters.google_adk.artifacts import StowfastArtifactService
from stowfast.adapters.google_adk.sessions import StowfastSessionService

with extra("google-adk"):
    from google.adk.cli.service_registry import ServiceRegistry, get_service_registry

__all__ = ["register"]

_MARK: Final = "stowfast+"
_SCHEMES: Final = ("memory", "sqlite", "s3", "gs", "az", "postgresql")
_OF_ADK: Final = ("agents_dir", "per_agent")
"""Arguments of ADK to every factory. They say nothing of a store."""


def register(registry: ServiceRegistry | None = None) -> None:
    """Register the schemes for sessions and artifacts. A second call changes nothing.

    They are `stowfast+sqlite:`, `stowfast+s3:`, `stowfast+gs:`, `stowfast+az:`, `stowfast+postgresql:` and
    `stowfast+memory:`.

    `adk web` runs a file `services.py` beside the agents. These two lines in it suffice:

        from stowfast.adapters.google_adk import register
        register()

    Then `adk web --session_service_uri stowfast+sqlite:///agent.db`, and the same for `--artifact_service_uri`.

    Args:
        registry: the registry; None: ADK's own.
    """
    chosen = get_service_registry() if registry is None else registry
    for scheme in _SCHEMES:
        chosen.register_session_service(_MARK + scheme, _sessions)
        chosen.register_artifact_service(_MARK + scheme, _artifacts)


def _sessions(uri: str, **options: Any) -> StowfastSessionService:
    return StowfastSessionService(uri.removeprefix(_MARK), **_ours(options))


def _artifacts(uri: str, **options: Any) -> StowfastArtifactService:
    return StowfastArtifactService(uri.removeprefix(_MARK), **_ours(options))


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _OF_ADK}
