"""Work that rarely waits: it is begun at once, and becomes a task only when it has to wait."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ironflow.base.started import resumed

T = TypeVar("T")


def begin(work: Coroutine[Any, Any, T]) -> asyncio.Future[T] | None:
    """Runs `work` until it first waits; the task that does the rest, None when it has returned without waiting.

    What it raises, the future carries, at once or later. For work that needs no task of its own before it waits: until
    then the current task is the caller's. Python 3.12 calls this an eager task.
    """
    loop = asyncio.get_running_loop()
    # Saves a task, its context and a turn of the loop for every write that the socket takes at once.
    try:
        awaited = work.send(None)
    except StopIteration:
        return None
    except BaseException as fault:  # noqa: BLE001 carried to the reader of the future, as by a task
        failed: asyncio.Future[T] = loop.create_future()
        failed.set_exception(fault)
        return failed
    return loop.create_task(_rest(work, awaited))


async def _rest(work: Coroutine[Any, Any, T], awaited: Any) -> T:
    return await resumed(work, awaited)
