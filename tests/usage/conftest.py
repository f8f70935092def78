"""A server with authentication, on either database."""

from collections.abc import AsyncIterator

import pytest

from tests.support.keys import Guarded, open_guarded


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url, metrics_key=True) as opened:
        yield opened
