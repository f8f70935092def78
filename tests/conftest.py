"""What every test can ask for: a fresh database of either kind, and the servers outside of ours.

Tests that need a server which is not there are skipped and counted at the end.
IRONFLOW_TEST_REQUIRE=postgres,nats makes a missing one a failure of the session instead.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.databases import PostgresSchema, SqliteFiles
from tests.support.house import open_house
from tests.support.services import SERVICES, Service, find_nats, find_postgres, fresh_database, fresh_schema, sweep
from tests.support.work import Work

# Time is what the machine has left, not a property of the code.
settings.register_profile("house", deadline=None, print_blob=True)
# A build that fails must be one that fails again: there, chance is the same each time.
settings.register_profile("ci", settings.get_profile("house"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "house")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    for name in filter(None, os.environ.get("IRONFLOW_TEST_REQUIRE", "").split(",")):
        if name not in SERVICES:
            raise pytest.UsageError(f"IRONFLOW_TEST_REQUIRE names {name!r}; it knows {', '.join(SERVICES)}")
        service = SERVICES[name]()
        if service.url is None:
            raise pytest.UsageError(
                f"IRONFLOW_TEST_REQUIRE asks for {service.name}, which was not found ({service.fault}). "
                f"To go on, {service.help}."
            )


def pytest_report_header() -> list[str]:
    found = [find() for find in SERVICES.values()]
    return [f"{service.name}: {service.url or 'not found, its tests will be skipped'}" for service in found]


def pytest_sessionstart(session: pytest.Session) -> None:
    server = find_postgres().url
    if server is not None and not hasattr(session.config, "workerinput"):
        sweep(server)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in SERVICES:
            if {f"{name}_url", f"empty_{name}_url"} & set(getattr(item, "fixturenames", ())):
                item.add_marker(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for find in SERVICES.values():
        service = find()
        count = sum(_reason(service) in reason for reason in skipped)
        if count:
            terminalreporter.section(f"tests skipped for want of {service.name}: {count}", yellow=True)
            terminalreporter.line(f"To run them, {service.help}.")


def _reason(service: Service) -> str:
    return f"{service.name} was not found"


def _url(service: Service) -> str:
    if service.url is None:
        pytest.skip(_reason(service))
    return service.url


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """The address of a PostgreSQL database that the tests of this process share, each in a schema of its own."""
    with fresh_database(_url(find_postgres())) as address:
        yield address


@pytest.fixture(scope="session")
def kept_postgres() -> Iterator[PostgresSchema]:
    with fresh_database(_url(find_postgres())) as address:
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
    """The address of a new PostgreSQL schema without a table, gone after the test."""
    with fresh_schema(postgres_database) as address:
        yield address


@pytest.fixture
def nats_url() -> str:
    """The address of a NATS server with JetStream. Other tests use it at the same time: take names of your own."""
    return _url(find_nats())


DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `--db` takes: a SQLite file, then a PostgreSQL schema, as a server leaves them that has just started.

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
async def house(database_url: str) -> AsyncIterator[Work]:
    """A whole server in this process, on either database, with a clock that the test moves: tests/support/."""
    async with open_house(Work, database_url) as opened:
        yield opened
