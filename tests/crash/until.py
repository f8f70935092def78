"""Waiting for what other processes do: polls a condition until a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable

LOOK_AGAIN_S = 0.02


async def became(condition: Callable[[], bool | Awaitable[bool]], within_s: float) -> bool:
    """Whether `condition` becomes true within `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_AGAIN_S)


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, within_s: float = 60.0) -> None:
    """Returns when `condition` is true. Raises AssertionError with `what` after `within_s`."""
    assert await became(condition, within_s), f"within {within_s:g} s this did not happen: {what}"
