"""Databases for the tests of storage, without rooms and without loops."""

from collections.abc import AsyncIterator

import pytest

from ironflow.broker.port import LocalBroker
from ironflow.storage.open import open_database
from ironflow.storage.port import Database
from tests.storage.notes import make_table


@pytest.fixture
def broker() -> LocalBroker:
    return LocalBroker()


@pytest.fixture
async def db(database_url: str, broker: LocalBroker) -> AsyncIterator[Database]:
    """An open database of either kind with a table of notes."""
    opened = await open_database(database_url, broker, now=0)
    await opened.write(make_table)
    yield opened
    await opened.close()
