"""No error of a source repeats a password of its URL: no text, no cause or context, and no line of the command."""

from __future__ import annotations

import contextlib
import traceback
import uuid
from typing import TYPE_CHECKING

import pytest

from stowfast import InvalidError, StowfastError, importing
from stowfast.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import PostgresServer

CANARY = "canary-Pa55word-of-ada"
NOBODY = "127.0.0.1:1"
POSTGRES = [
    f"[{CANARY}",
    f"u:{CANARY}@[::1",
    f"u:{CANARY}%zz@{NOBODY}/x",
    f"u:{CANARY}%00@{NOBODY}/x",
    f"u:{CANARY}\ud800@{NOBODY}/x",
    f"u:{CANARY}@{NOBODY}/x",
    f"u:p@{CANARY}@{NOBODY}/x",
    f"u:p/{CANARY}@{NOBODY}/x",
    f"u:{CANARY}/p@{NOBODY}/x",
    f"u:p?{CANARY}@{NOBODY}/x",
    f"u:p#{CANARY}@{NOBODY}/x",
    f"u:p@127.0.0.1:{CANARY}/x",
    f"u:p@{NOBODY}/x?{CANARY}",
    f"u:p@{NOBODY}/x?{CANARY}=1",
    f"u:p@{NOBODY}/x?password={CANARY}",
    f"u:p@{NOBODY}/x?sslmode={CANARY}",
    f"u:p@{NOBODY}/x?gssencmode={CANARY}",
    f"u:p@{NOBODY}/x?channel_binding={CANARY}",
    f"u:p@{NOBODY}/x?target_session_attrs={CANARY}",
    f"u:p@{NOBODY}/x?ssl_min_protocol_version={CANARY}",
    f"u:p@{NOBODY}/x?connect_timeout={CANARY}",
]
BUCKETS = [
    f"[{CANARY}",
    f"u:{CANARY}@b/x",
    f"b/x?secret_access_key={CANARY}",
    f"b/x?{CANARY}",
    f"b/x?{CANARY}=1",
    f"b/x?timeout={CANARY}",
    f"b/x?region={CANARY}&anonymous=true",
    f"b/x?profile={CANARY}",
    f"b/x?ca_bundle={CANARY}&anonymous=true",
    f"b/x?endpoint_url=http://u:{CANARY}@{NOBODY}&anonymous=true",
    f"b/x?access_key_id=k&secret_access_key={CANARY}&timeout=0.2&endpoint_url=http://{NOBODY}",
    f"b/x?secret_access_key={CANARY}%ff",
]
OTHERS = ["mysql", "mysql+pymysql", "redis", "https", "mongodb", "moving", CANARY]
SOURCES = [
    *(f"{scheme}{rest}" for scheme in ("postgresql://", "postgresql+psycopg://", "postgres:") for rest in POSTGRES),
    *(f"POSTGRESQL://{rest}" for rest in POSTGRES),
    *(f"{scheme}:{slashes}{rest}" for scheme in ("s3", "gs", "az") for slashes in ("//", "/", "") for rest in BUCKETS),
    *(f"{scheme}:{slashes}u:{CANARY}@h/x?password={CANARY}" for scheme in OTHERS for slashes in ("//", "/", "")),
]
KINDS = ["agno", "looopy"]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if error.__cause__ is not None:
            yield from chain(error.__cause__)
        error = error.__context__


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
async def test_no_error_of_a_source_repeats_its_password(kind: str, source: str) -> None:
    with pytest.raises(StowfastError) as raised:
        await importing.import_from(kind, source, "memory:")
    assert len(str(raised.value)) > 30
    for error in chain(raised.value):
        assert CANARY not in f"{error} {error!r} {error.args!r} {vars(error)!r}"
    # The lines of our own code may name a variable, and never its value.
    assert CANARY not in "".join(traceback.format_exception(raised.value))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_line_of_the_command_repeats_it(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    for source in SOURCES:
        with contextlib.suppress(UnicodeEncodeError):  # no argument of a command has a lone surrogate of this kind
            source.encode("utf-8", "surrogateescape")
            assert run(["import-from", kind, source, "memory:"]) in {1, 2}
            said = capfd.readouterr()
            assert CANARY not in said.out + said.err, source
            assert "Traceback" not in said.err
            assert said.err.startswith("stowfast: ")


@pytest.mark.parametrize("command", ["ls", "copy", "verify", "backup", "export", "du", "stats", "gc", "check", "view"])
def test_nor_does_any_other_command(command: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    more = {"copy": [f"sqlite:///{tmp_path}/copy.db"], "backup": [str(tmp_path / "kept.db")]}.get(command, [])
    sources = [f"postgresql://{rest}" for rest in POSTGRES if "\ud800" not in rest]
    for source in sources + [f"s3://{rest}" for rest in BUCKETS]:
        assert run([command, source, *more]) in {1, 2}
        said = capfd.readouterr()
        assert CANARY not in said.out + said.err, source
        assert "Traceback" not in said.err


async def test_a_path_that_looks_like_a_url_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ab:c").mkdir()
    assert (await importing.import_from("strands", "ab:c", "memory:")).complete
    with pytest.raises(InvalidError, match=r"no SQLite file|no such file"):
        await importing.import_from("agno", "ab:c", "memory:")


async def test_a_server_that_takes_the_role_and_one_that_refuses_it(postgres_server: PostgresServer) -> None:
    name = f"theirs{uuid.uuid4().hex}"
    columns = "session_id, session_type, agent_id, team_id, workflow_id, user_id, session_data, metadata, summary, runs"
    postgres_server.run(f"CREATE DATABASE {name}")
    try:
        postgres_server.run(
            "CREATE SCHEMA ai",
            f"CREATE TABLE ai.agno_sessions ({columns.replace(',', ' text,')} text)",
            "INSERT INTO ai.agno_sessions (session_id, runs) VALUES ('s', '[]')",
            database=name,
        )
        url = f"{postgres_server.endpoint}/{name}"
        assert (await importing.import_from("agno", url, "memory:")).streams == 1
        scheme, _, rest = url.partition("://")
        refused = f"{scheme}://stowfast:{CANARY}@{rest.rpartition('@')[2]}"
        with pytest.raises(InvalidError, match="authentication failed") as raised:
            await importing.import_from("agno", refused, "memory:")
        assert CANARY not in "".join(traceback.format_exception(raised.value))
    finally:
        postgres_server.run(f"DROP DATABASE {name}")
