"""A server with a master key, on either database."""

from collections.abc import AsyncIterator

import pytest

from tests.support.server import open_server
from tests.support.work import Work

MASTER = "11" * 32


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, database_url, master_key=MASTER) as opened:
        yield opened
