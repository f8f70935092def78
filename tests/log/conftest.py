"""A database with the log's tables and no rooms."""

from collections.abc import AsyncIterator

import pytest

from ironflow.broker.port import LocalBroker
from ironflow.storage.open import open_database
from ironflow.storage.port import Database


@pytest.fixture
def broker() -> LocalBroker:
    return LocalBroker()


@pytest.fixture
async def db(database_url: str, broker: LocalBroker) -> AsyncIterator[Database]:
    opened = await open_database(database_url, broker, now=0)
    yield opened
    await opened.close()
