"""Servers with sockets, one for the tests of a module: they still stand after them, and nothing went wrong unsaid."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.postgres import fresh_schema
from tests.wire.server_process import Server, a_server

ON_EITHER = [("h2corn", "sqlite"), ("granian", "sqlite"), ("h2corn", "postgres")]


@pytest.fixture(scope="module", params=["h2corn", "granian"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With either HTTP server, on SQLite."""
    with _sound(tmp_path_factory.mktemp(request.param), "", request.param) as started:
        yield started


@pytest.fixture(
    scope="module",
    params=[pytest.param(each, marks=[pytest.mark.postgres] if each[1] == "postgres" else []) for each in ON_EITHER],
    ids="-".join,
)
def server_on_either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With either HTTP server, and on either database."""
    http_server, database = request.param
    with ExitStack() as stack:
        url = ""
        if database == "postgres":
            url = stack.enter_context(fresh_schema(request.getfixturevalue("postgres_database")))
        yield stack.enter_context(_sound(tmp_path_factory.mktemp(http_server), url, http_server))


@contextmanager
def _sound(folder: Path, db: str, http_server: str) -> Iterator[Server]:
    with a_server(folder, db, http_server=http_server) as started:
        yield started
        assert started.alive
        assert "Traceback" not in started.log
