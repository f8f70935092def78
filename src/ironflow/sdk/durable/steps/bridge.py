"""Lets a handler that is a plain function, in its thread, wait for steps, which run on the event loop."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from ironflow.base.errors import NonRetryableError
from ironflow.sdk.user_code.calling import calling_frame, of_thread

T = TypeVar("T")


class BlockingStepOnLoop(NonRetryableError):
    """A coroutine uses the steps of a plain handler, which block. Make the handler `async def`."""

    code = "BLOCKING_STEP_ON_LOOP"


class Bridge:
    """Lets a handler's threads wait for what runs on the event loop, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._waited_for: set[Future[Any]] = set()
        self._open = True

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, in a thread. Raises CancelledError of concurrent.futures when the bridge is closed.

        Raises BlockingStepOnLoop on the event loop, which would wait for itself.
        """
        if threading.get_ident() == self._thread_id:
            work.close()
            raise BlockingStepOnLoop()
        # The task on the loop begins with a copy of this context.
        token = of_thread.set(calling_frame())
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        of_thread.reset(token)
        self._waited_for.add(future)
        if not self._open:
            # It was closed between these lines, and did not see this one.
            future.cancel()
        try:
            return future.result()
        finally:
            self._waited_for.discard(future)

    def close(self) -> None:
        """Cancels what threads wait for."""
        self._open = False
        for each in tuple(self._waited_for):
            each.cancel()
