"""The services as fixtures. A run that needs none starts none; see `s3.py` and `azure.py` for the choice."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.services import azure, chromium, postgres, s3, shared
from tests.services.process import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


def pytest_configure(config: pytest.Config) -> None:
    stack = ExitStack()
    stack.enter_context(shared.run())
    config.add_cleanup(stack.close)


def pytest_report_header() -> str:
    try:
        kind = s3.choice()
    except ServiceError as error:
        return f"S3: {error}"
    return f"S3: {s3.LEFT_OUT if kind == 'faulty' else kind}"


def fixtures_of(item: pytest.Item) -> set[str]:
    """Return the names of the fixtures of a test, and of those it asks for by name."""
    return {*getattr(item, "fixturenames", ()), *(name for mark in item.iter_markers("needs") for name in mark.args)}


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if fixtures_of(item) & {"s3_server", "azure_server", "postgres_server", "postgres_alone", "browser"}:
            item.add_marker("service")


def pytest_collection_finish(session: pytest.Session) -> None:
    # It comes up while the first tests run, and an installation is not held to the time-out of a test.
    used = set().union(*map(fixtures_of, session.items))
    if not session.config.option.collectonly:
        if "s3_server" in used:
            s3.prepare()
        if "azure_server" in used:
            azure.prepare()
        if "postgres_server" in used and postgres.missing() is None and not os.environ.get(postgres.NAMED):
            with suppress(ServiceError):
                with shared.locked(shared.folder_of("install.lock")):
                    postgres.install()
                shared.begin("postgres")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.S3Server]:
    """The S3 server of this run; the environment holds its credentials. `url()` is a place where nobody has been."""
    server = s3.connect()
    with _environment(server.environment):
        yield server


@pytest.fixture
def s3_gateway(s3_server: s3.S3Server) -> Iterator[s3.S3Gateway]:
    """The same server by a gateway of the test's own, for `kill()` and `restart()`."""
    if s3_server.kind != "ceph":
        pytest.skip(f"only Ceph's gateway can be killed and started again; the S3 server is {s3_server.kind}")
    with s3.connect_alone(s3_server) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def azure_server() -> Iterator[azure.AzureServer]:
    """The same for Azure."""
    if lacks := azure.missing():
        pytest.skip(lacks)
    server = azure.connect()
    with _environment(server.environment):
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> postgres.PostgresServer:
    """The PostgreSQL server of this run. `url()` is one of a schema where nobody has been."""
    if lacks := postgres.missing():
        pytest.skip(lacks)
    return postgres.PostgresServer(os.environ.get(postgres.NAMED) or shared.share("postgres"))


@pytest.fixture
def postgres_alone(tmp_path: Path) -> Iterator[postgres.Postgres]:
    """A server of the test's own, to stop and start again."""
    if lacks := postgres.missing():
        pytest.skip(lacks)
    server = postgres.Postgres(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, the same for all tests of a module."""
    if lacks := chromium.missing():
        pytest.skip(lacks)
    with chromium.launched() as started:
        yield started


@contextmanager
def _environment(changes: dict[str, str | None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        yield
