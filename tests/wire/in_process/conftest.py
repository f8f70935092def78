"""The application without a socket: the tests of this folder talk to it in their own process."""

from collections.abc import AsyncIterator

import pytest

from tests.support.server import open_server
from tests.support.work import Work


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Work]:
    """The same as the fixture of all tests; `tests/wire` has one of that name with a process."""
    async with open_server(Work, database_url) as opened:
        yield opened
