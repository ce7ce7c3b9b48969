"""Google ADK, `FileArtifactService`: a folder for each version."""

from __future__ import annotations

from google.adk.artifacts import FileArtifactService

from bench.artifacts.services.adk import Adk
from bench.artifacts.stopwatch import serve

if __name__ == "__main__":
    serve(Adk(FileArtifactService))
