"""Waiting for what other processes do: a condition asked again and again, with an end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_AGAIN_S = 0.02


async def became(condition: Callable[[], T | Awaitable[T]], within_s: float) -> T:
    """What `condition` answers once that is true, or its last answer when `within_s` have passed."""
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(LOOK_AGAIN_S)


async def until(condition: Callable[[], T | Awaitable[T]], what: str, within_s: float = 60.0) -> T:
    """What `condition` answers, once that is true. Raises AssertionError saying `what` after `within_s`."""
    answer = await became(condition, within_s)
    assert answer, f"within {within_s:g} s it never came true that {what}"
    return answer
