"""A server with authentication, on either database."""

from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher

from ironflow.features.users import passwords
from tests.support.keys import Guarded, open_guarded


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones take 50 ms of a core each."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url) as opened:
        yield opened
