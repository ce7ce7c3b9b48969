"""ADK artifacts: the content of a part is an artifact's content, everything else of the part is in its metadata."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.closing import WithClose
from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.names import new_id
from stowfast.plain_json import to_json
from stowfast.records import Artifact, ArtifactInfo

with extra("google-adk"):
    from google.adk.artifacts import artifact_util
    from google.adk.artifacts.artifact_util import _MAX_ARTIFACT_REFERENCE_DEPTH, _is_rewind_tombstone
    from google.adk.artifacts.base_artifact_service import ArtifactVersion, BaseArtifactService, ensure_part
    from google.adk.errors.input_validation_error import InputValidationError
    from google.genai import types

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast import sync
    from stowfast.stores import Stores
    from stowfast.stores.artifacts.reading.reader import ArtifactReader

__all__ = ["StowfastArtifactService"]

_PAGE: Final = 1_000
"""Names of one request of a listing."""

_OF_USER: Final = "user:"
"""The beginning of the names that belong to all sessions of a user."""


_CONTENT: Final[dict[str, Any]] = {"inline_data": {"inline_data": {"data"}}, "text": {"text"}, "file_data": {}}
"""The field of a part that is the content of the artifact, by the field that holds it."""


class StowfastArtifactService(WithClose, BaseArtifactService):
    """Artifacts of ADK in any backend of Stowfast.

    A save that was acknowledged is a version that stays, whole or not at all. Of racing saves each gets a version of
    its own. Equal content of one name is stored once. Content is checked by its SHA-256 when it is loaded.

    Args:
        stores: a URL, or open stores of either face.
        scope: the scope of these stores to use.
        within: the time for repeats after a lost answer; see `stowfast.wrappers.Patient`.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)

    async def save_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        artifact: types.Part | dict[str, Any],
        session_id: str | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> int:
        """Store a part as the next version, and return its number: 0 for the first.

        Raises:
            InputValidationError: the part has no content, refers to an artifact outside its scope, or an id is
                invalid. Nothing was stored.
            UnavailableError: no answer. The version may be stored.
        """
        scope = _scope(app_name, user_id, filename, session_id)
        part = ensure_part(artifact)
        _check_part(part, app_name, user_id, session_id)
        content: bytes | str = b""
        if part.inline_data is not None:
            content, held = part.inline_data.data or b"", "inline_data"
        elif part.text is not None:
            content, held = part.text, "text"
        else:
            held = "file_data"
        rest = part.model_dump(mode="json", exclude_none=True, exclude=_CONTENT[held])
        return await self._put(scope, filename, content, {"part": rest, "held": held}, custom_metadata)

    async def save_stream(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        chunks: AsyncIterator[bytes],
        mime_type: str,
        session_id: str | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> int:
        """Store bytes as the next version, in constant memory; `load_artifact` returns them as `inline_data`.

        The version is visible whole or not at all. The chunks are read once, so a lost answer reaches the caller.

        Raises:
            InputValidationError: an id is invalid. Nothing was stored.
            UnavailableError: no answer. The version may be stored.
        """
        scope = _scope(app_name, user_id, filename, session_id)
        described = {"part": {"inline_data": {"mime_type": mime_type}}, "held": "inline_data"}
        return await self._put(scope, filename, chunks, described, custom_metadata)

    async def _put(
        self, scope: str, filename: str, content: Any, described: dict[str, Any], custom: dict[str, Any] | None
    ) -> int:
        stored = Artifact(
            artifact_id=_artifact_id(scope, filename),
            context_id=None if filename.startswith(_OF_USER) else scope,
            name=filename or None,
            content=content,
            mime_type=_mime_type(described),
            metadata=described | {"custom": to_json(custom or {})},
        )
        stores = await self._opener.open()
        return (await stores.artifacts.put(stored, op_id=new_id())).version - 1

    async def load_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> types.Part | None:
        """Return a version, or the newest; None for an unknown one, and for one that a rewind removed.

        Raises:
            InputValidationError: an id is invalid, or a reference leads out of its scope or over 5 references.
            DamagedError: the content is not as it was stored, or the part is none of this release of ADK.
        """
        depth = _MAX_ARTIFACT_REFERENCE_DEPTH
        while True:
            scope = _scope(app_name, user_id, filename, session_id)
            part = await self._load(_artifact_id(scope, filename), version)
            if part is None or not artifact_util.is_artifact_ref(part):
                return part
            target = artifact_util.resolve_artifact_reference(
                file_uri=_uri(part),
                app_name=app_name,
                user_id=user_id,
                session_id=session_id,
                remaining_depth=depth,
            )
            app_name, user_id, session_id, filename, version = target
            depth -= 1

    async def _load(self, artifact_id: str, version: int | None) -> types.Part | None:
        if version is not None and version < 0:
            return None
        stores = await self._opener.open()
        found = await stores.artifacts.get(artifact_id, version=None if version is None else version + 1)
        if found is None:
            return None
        with decoding(f"the artifact {artifact_id!r}"):
            part, held = types.Part.model_validate(found.metadata["part"]), found.metadata["held"]
        if part.inline_data is not None and held == "inline_data":
            part.inline_data.data = found.content
        elif held == "text":
            part.text = found.content
        return None if _is_rewind_tombstone(part) else part

    @asynccontextmanager
    async def open_reader(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> AsyncIterator[ArtifactReader]:
        """Read a version in constant memory: `async for piece in reader`, or `await reader.read(n)`.

        References are not followed.

        Raises:
            NotFoundError: there is no such artifact or version.
            DamagedError: while reading: bytes do not match their checksum.
        """
        artifact_id = _artifact_id(_scope(app_name, user_id, filename, session_id), filename)
        stores = await self._opener.open()
        ours = None if version is None else version + 1
        async with stores.artifacts.open_reader(artifact_id, version=ours) as reader:
            yield reader

    async def list_artifact_keys(self, *, app_name: str, user_id: str, session_id: str | None = None) -> list[str]:
        """Return the names of a user, and of a session if given, in alphabetical order."""
        scopes = [_scope(app_name, user_id, _OF_USER, None)]
        if session_id is not None:
            artifact_util.validate_path_segment(session_id, "session_id")
            scopes.append(_scope(app_name, user_id, "", session_id))
        stores, names = await self._opener.open(), []
        for scope in scopes:
            after = None
            while True:
                page = await stores.artifacts.list(prefix=f"{scope}//", order="id", after=after, limit=_PAGE)
                names += [one.name or "" for one in page]
                after = page.next
                if after is None:
                    break
        return sorted(names)

    async def delete_artifact(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> None:
        """Delete an artifact with all its versions, for good. An unknown one is fine."""
        stores = await self._opener.open()
        await stores.artifacts.delete(_artifact_id(_scope(app_name, user_id, filename, session_id), filename))

    async def list_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[int]:
        """Return the numbers of all versions, the oldest first."""
        found = await self._versions(app_name, user_id, filename, session_id)
        return [one.version - 1 for one in found]

    async def list_artifact_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[ArtifactVersion]:
        """Return all versions without their content, the oldest first."""
        found = await self._versions(app_name, user_id, filename, session_id)
        return [_version(one, app_name, user_id, session_id) for one in found]

    async def get_artifact_version(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> ArtifactVersion | None:
        """Return a version, or the newest, without its content; None for an unknown one."""
        artifact_id = _artifact_id(_scope(app_name, user_id, filename, session_id), filename)
        if version is not None and version < 0:
            return None
        stores = await self._opener.open()
        found = await stores.artifacts.info(artifact_id, version=None if version is None else version + 1)
        return None if found is None else _version(found, app_name, user_id, session_id)

    async def _versions(self, app_name: str, user_id: str, filename: str, session_id: str | None) -> list[ArtifactInfo]:
        artifact_id = _artifact_id(_scope(app_name, user_id, filename, session_id), filename)
        return await (await self._opener.open()).artifacts.versions(artifact_id)


def _scope(app_name: str, user_id: str, filename: str, session_id: str | None) -> str:
    """Return the scope of a name: a user, or a session. The scope of a session is the id of its conversation.

    Raises:
        InputValidationError: as the services of ADK: an id is empty or has path segments that they refuse, or a
            session is missing.
    """
    artifact_util.validate_path_segment(app_name, "app_name")
    artifact_util.validate_path_segment(user_id, "user_id")
    if filename.startswith(_OF_USER):
        return joined("adk", app_name, user_id)
    if session_id is None:
        raise InputValidationError("Session ID must be provided for session-scoped artifacts.")
    artifact_util.validate_path_segment(session_id, "session_id")
    return joined("adk", app_name, user_id, session_id)


def _artifact_id(scope: str, filename: str) -> str:
    # No part is empty, so the two slashes end the scope.
    return f"{scope}//{joined(filename)}"


def _check_part(part: types.Part, app_name: str, user_id: str, session_id: str | None) -> None:
    if part.inline_data is None and part.text is None and part.file_data is None:
        raise InputValidationError("Not supported artifact type.")
    if artifact_util.is_artifact_ref(part):
        parsed = artifact_util.parse_artifact_uri(_uri(part))
        if parsed is None:
            raise InputValidationError(f"Invalid artifact reference URI: {_uri(part)}")
        artifact_util.validate_artifact_reference_scope(
            app_name=app_name, user_id=user_id, session_id=session_id, parsed_uri=parsed
        )


def _uri(part: types.Part) -> str:
    return (part.file_data and part.file_data.file_uri) or ""


def _mime_type(described: dict[str, Any]) -> str | None:
    if described["held"] == "text":
        return "text/plain"
    told = described["part"][described["held"]]
    return str(told["mime_type"]) if "mime_type" in told else None


def _version(info: ArtifactInfo, app_name: str, user_id: str, session_id: str | None) -> ArtifactVersion:
    filename = info.name or ""
    session_id = None if filename.startswith(_OF_USER) else session_id
    assert info.created_at is not None
    return ArtifactVersion(
        version=info.version - 1,
        canonical_uri=artifact_util.get_artifact_uri(app_name, user_id, filename, info.version - 1, session_id),
        custom_metadata=info.metadata["custom"],
        create_time=info.created_at.timestamp(),
        mime_type=_mime_type(info.metadata),
    )
