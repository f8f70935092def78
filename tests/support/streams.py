"""Reading streaming operations in tests."""

import asyncio
from typing import Any

ROUNDS = 50


async def told(waiting: "asyncio.Future[Any]") -> None:
    """Lets a reader come as far as it can; it must still wait then."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
    # A look off the loop takes a moment of its own.
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done, "the stream said something before there was anything to say"
