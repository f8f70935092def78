"""Work that seldom waits: it is begun at once, and becomes a task only when it has to wait."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def begin(work: Coroutine[Any, Any, T]) -> asyncio.Future[T] | None:
    """Runs `work` until it first waits; the task that does the rest, None when it has returned without waiting.

    What it raises, the future carries, at once or later. For work that needs no task of its own before it waits: until
    then the current task is the caller's. Python 3.12 calls this an eager task.
    """
    loop = asyncio.get_running_loop()
    try:
        awaited = work.send(None)
    except StopIteration:
        return None
    except BaseException as fault:  # noqa: BLE001 carried to whoever looks at the future, as by a task
        failed: asyncio.Future[T] = loop.create_future()
        failed.set_exception(fault)
        return failed
    return loop.create_task(_go_on(work, awaited))


async def _go_on(work: Coroutine[Any, Any, T], awaited: Any) -> T:
    return await _rest(work, awaited)


@coroutine
def _rest(work: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """Goes on with work that already waits for `awaited`."""
    try:
        while True:
            try:
                sent = yield awaited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 passed on into the work
                awaited = work.throw(thrown)
            else:
                awaited = work.send(sent)
    except StopIteration as ended:
        return ended.value
