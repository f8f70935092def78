"""Ids: a prefix, then 26 characters that sort by time (48 bits of milliseconds, 80 random bits).

Later ids of one process are always greater, also within a millisecond and when the clock is set back, so
"newest first" is "greatest id first" and new rows go to the end of an index.
Source of the prefixes: protocol/errors-and-defaults.md 3. Ids are opaque: no code parses one.
"""

import os
import threading
from collections.abc import Callable
from functools import lru_cache

from ironflow.base.time import Clock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_RANDOM_BITS = 80
_FORTY = 2**40 - 1
# Random bytes are fetched this many at a time: a system call costs more than making an id.
_FETCHED = 4096


class Ids:
    """Makes ids from a clock and a source of random bytes; both are given, so that tests are repeatable."""

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._last = 0
        self._fetched, self._used = b"", 0
        # Transactions on PostgreSQL make ids in threads.
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        """A new id such as `run_06DGK3…`: greater than every id this object made before."""
        now = self._clock.now()
        with self._lock:
            fresh = (now << _RANDOM_BITS) | int.from_bytes(self._bytes(_RANDOM_BITS // 8), "big")
            if fresh <= self._last:
                # Up to 40 bits further than the last.
                fresh = self._last + 1 + (fresh & _FORTY)
            self._last = fresh
        return f"{prefix}_{_text(fresh)}"

    def token(self) -> str:
        """128 random bits as text that is safe in a URL."""
        with self._lock:
            return self._bytes(16).hex()

    def _bytes(self, count: int) -> bytes:
        """Random bytes, each used once. The caller holds the lock."""
        if self._used + count > len(self._fetched):
            self._fetched, self._used = self._random_bytes(_FETCHED), 0
        at = self._used
        self._used = at + count
        return self._fetched[at : self._used]


def first_id_at(prefix: str, at_ms: int) -> str:
    """The smallest id with `prefix` that could have been made at `at_ms`; bounds a search by time."""
    return f"{prefix}_{_text(max(at_ms, 0) << _RANDOM_BITS)}"


def _text(number: int) -> str:
    pairs = _PAIRS
    high, low = number >> 40 & _FORTY, number & _FORTY
    return (
        f"{_time_text(number >> _RANDOM_BITS)}{pairs[high >> 30]}{pairs[high >> 20 & 1023]}{pairs[high >> 10 & 1023]}"
        f"{pairs[high & 1023]}{pairs[low >> 30]}{pairs[low >> 20 & 1023]}{pairs[low >> 10 & 1023]}{pairs[low & 1023]}"
    )


@lru_cache(maxsize=64)
def _time_text(at: int) -> str:
    """The first ten characters; ids of one millisecond share them."""
    return "".join([_PAIRS[at >> shift & 1023] for shift in range(40, -1, -10)])
