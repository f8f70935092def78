"""Databases for the tests of storage, without features and without loops."""

from collections.abc import AsyncIterator

import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage import migrate
from ironflow.storage.open import open_database
from ironflow.storage.port import Database
from tests.storage.notes import NOTES


@pytest.fixture
def notifier() -> LocalNotifier:
    return LocalNotifier()


@pytest.fixture
def only_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema of one table, `notes`, instead of all of ours."""
    monkeypatch.setattr(migrate, "migrations", lambda: (NOTES,))


@pytest.fixture
async def db(empty_database_url: str, notifier: LocalNotifier, only_notes: None) -> AsyncIterator[Database]:
    """An open database of either kind with a table of notes."""
    opened = await open_database(empty_database_url, notifier, now=0)
    yield opened
    await opened.close()
