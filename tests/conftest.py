"""What every test can ask for: a fresh database of either kind, a server in this process, and outside services.

A test that needs a missing service is skipped, and the skipped ones are counted at the end.
IRONFLOW_TEST_REQUIRE=postgres,nats,chromium,go,node,caddy makes a missing one a failure of the session instead.
"""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.databases import PostgresSchema, SqliteFiles
from tests.support.postgres import fresh_database, fresh_schema, sweep
from tests.support.server import open_server
from tests.support.services import SERVICES, Service, find_chromium, find_postgres, summary
from tests.support.work import Work

# How long an example takes depends on the machine, not on the code.
settings.register_profile("server", deadline=None, print_blob=True)
# A failure of a build can be repeated: hypothesis draws the same examples each time.
settings.register_profile("ci", settings.get_profile("server"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "server")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts `make test &` with SIGINT ignored, and the processes of tests would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return
    for name in filter(None, os.environ.get("IRONFLOW_TEST_REQUIRE", "").split(",")):
        if name not in SERVICES:
            raise pytest.UsageError(f"IRONFLOW_TEST_REQUIRE names {name!r}; it knows {', '.join(SERVICES)}")
        service = SERVICES[name]()
        if service.address is None:
            raise pytest.UsageError(service.missing)


def pytest_report_header() -> list[str]:
    return summary()


def pytest_sessionstart(session: pytest.Session) -> None:
    server = find_postgres().address
    if server is not None and not hasattr(session.config, "workerinput"):
        sweep(server)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"postgres_url", "empty_postgres_url"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for find in SERVICES.values():
        service = find()
        count = sum(service.missing in reason for reason in skipped)
        if count:
            terminalreporter.section(f"{count} tests skipped: {service.missing}", yellow=True)


def _address(service: Service) -> str:
    if service.address is None:
        pytest.skip(service.missing)
    return service.address


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """The address of a PostgreSQL database that the tests of this process share, each in a schema of its own."""
    with fresh_database(_address(find_postgres())) as address:
        yield address


@pytest.fixture(scope="session")
def kept_postgres() -> Iterator[PostgresSchema]:
    with fresh_database(_address(find_postgres())) as address:
        yield PostgresSchema(address)


@pytest.fixture(scope="session")
def kept_sqlite(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    return SqliteFiles(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def postgres_url(kept_postgres: PostgresSchema) -> Iterator[str]:
    """The address of a PostgreSQL schema with our tables and no rows: `--db` takes it as it takes a database's."""
    with kept_postgres.lent() as address:
        yield address


@pytest.fixture
def empty_postgres_url(postgres_database: str) -> Iterator[str]:
    """The address of a new PostgreSQL schema without a table, dropped after the test."""
    with fresh_schema(postgres_database) as address:
        yield address


@pytest.fixture
def chromium() -> str:
    """The path of a Chromium browser."""
    return _address(find_chromium())


DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `--db` takes: a SQLite file, then a PostgreSQL schema, each as a server leaves it at its first start.

    The test runs once on each.
    """
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return request.getfixturevalue("kept_sqlite").put(tmp_path / "ironflow.db")


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """As `database_url`, without our tables: there is no file yet, and the schema is new."""
    if request.param == "postgres":
        return request.getfixturevalue("empty_postgres_url")
    return str(tmp_path / "ironflow.db")


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Work]:
    """A whole server in this process, on either database, with a clock that the test moves: tests/support/server.py."""
    async with open_server(Work, database_url) as opened:
        yield opened
