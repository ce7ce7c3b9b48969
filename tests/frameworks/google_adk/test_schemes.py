"""The schemes of `adk web`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.adk.cli.service_registry import get_service_registry, load_services_module

from stowfast import InvalidError
from stowfast.adapters.google_adk import StowfastArtifactService, StowfastSessionService, register

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = "from stowfast.adapters.google_adk import register\nregister()\n"


async def test_a_services_file_registers_the_schemes(tmp_path: Path) -> None:
    (tmp_path / "services.py").write_text(SERVICES)
    load_services_module(str(tmp_path))
    registry = get_service_registry()
    uri = f"stowfast+sqlite:///{tmp_path}/agent.db"
    sessions = registry.create_session_service(uri, agents_dir=str(tmp_path))
    artifacts = registry.create_artifact_service(uri, agents_dir=str(tmp_path), per_agent=False)
    assert isinstance(sessions, StowfastSessionService)
    assert isinstance(artifacts, StowfastArtifactService)
    session = await sessions.create_session(app_name="app", user_id="ada")
    assert (await sessions.list_sessions(app_name="app")).sessions == [session]
    await sessions.close()
    await artifacts.close()


@pytest.mark.parametrize(
    "scheme", ["memory:", "s3://bucket/agents", "gs://bucket", "az://container", "postgresql://h/d"]
)
async def test_each_place_has_a_scheme(scheme: str) -> None:
    register()
    assert get_service_registry().create_session_service(f"stowfast+{scheme}") is not None
    assert get_service_registry().create_artifact_service(f"stowfast+{scheme}") is not None


async def test_a_wrong_option_is_refused() -> None:
    register()
    service = get_service_registry().create_session_service("stowfast+memory:", wrong=1)
    assert service is not None
    with pytest.raises(InvalidError):
        await service.list_sessions(app_name="a")
