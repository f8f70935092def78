"""Passwords are hashed with argon2id, in threads: a few at a time, for each takes 64 MiB and a core."""

import asyncio
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ironflow.base.errors import Unavailable

T = TypeVar("T")

AT_A_TIME = 2
# Further ones of the same caller are refused, so that the turn of others comes.
WAITING_OF_ONE_MAX = 8
WAITING_MAX = 200


class TooManyLogIns(Unavailable):
    """The server verifies as many passwords as it can. Try again in a moment."""

    code = "TOO_MANY_LOG_INS"
    retry_after_s = 2.0


class Passwords:
    """Hashes and verifies. caller: whose turn it is, such as the address; callers wait for each other as little as may
    be."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._waiting: Counter[str] = Counter()
        # Compared with the password of a user who does not exist, so that both take the same time.
        self._unknown_hash = ""

    async def hashed(self, password: str, caller: str = "") -> str:
        """Raises TooManyLogIns."""
        text = _normal(password)
        return await self._in_turn(caller, lambda: self._hasher.hash(text))

    async def is_password(self, password_hash: str, password: str, caller: str = "") -> bool:
        """Whether it is the password of this hash; an empty hash has none, and takes as long. Raises TooManyLogIns."""
        text = _normal(password)

        def verify() -> bool:
            if not self._unknown_hash:
                self._unknown_hash = self._hasher.hash("")
            try:
                return self._hasher.verify(password_hash or self._unknown_hash, text) and bool(password_hash)
            except (VerificationError, InvalidHashError):
                return False

        return await self._in_turn(caller, verify)

    def is_old(self, password_hash: str) -> bool:
        """Whether it was hashed with less effort than today."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _in_turn(self, caller: str, work: Callable[[], T]) -> T:
        if self._waiting[caller] >= WAITING_OF_ONE_MAX or self._waiting.total() >= WAITING_MAX:
            raise TooManyLogIns
        self._waiting[caller] += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller]


def _normal(password: str) -> str:
    """Keyboards write the same letter in different ways."""
    return unicodedata.normalize("NFKC", password)
