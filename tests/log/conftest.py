"""A database with the log's tables and no features."""

from collections.abc import AsyncIterator

import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database
from ironflow.storage.port import Database


@pytest.fixture
def notifier() -> LocalNotifier:
    return LocalNotifier()


@pytest.fixture
async def db(database_url: str, notifier: LocalNotifier) -> AsyncIterator[Database]:
    opened = await open_database(database_url, notifier, now=0)
    yield opened
    await opened.close()
