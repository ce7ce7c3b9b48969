"""Google ADK's community package, `S3ArtifactService`: an object for each version, numbered from a listing."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from google.adk_community.artifacts import S3ArtifactService

from bench.artifacts.services.adk import Adk
from bench.artifacts.stopwatch import serve


def service_at(url: str) -> S3ArtifactService:
    parts = urlsplit(url)
    return S3ArtifactService(parts.netloc, {"endpoint_url": parse_qs(parts.query)["endpoint_url"][0]})


if __name__ == "__main__":
    serve(Adk(service_at))
