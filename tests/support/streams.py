"""Reading streaming operations in tests."""

import asyncio
from typing import Any

ROUNDS = 50


async def still_waiting(waiting: "asyncio.Future[Any]") -> None:
    """Lets a reader run as far as it can, and asserts that it still waits."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
    # A read in a thread of the database takes longer than rounds of the loop, and no condition ends the absence of an
    # answer. A slow machine makes this check weaker, never a failure.
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done, "the stream answered before there was anything to answer"
