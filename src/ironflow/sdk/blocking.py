"""`ctx.step` for handlers that are plain functions: the same steps, waited for in the handler's thread."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from ironflow.base.duration import Duration
from ironflow.sdk.steps import Steps

T = TypeVar("T")


class BlockingSteps:
    """The methods of Steps without `await`. Bodies run in threads of their own, or on the loop when they are async."""

    __slots__ = ("_loop", "_steps")

    def __init__(self, steps: Steps, loop: asyncio.AbstractEventLoop) -> None:
        self._steps = steps
        self._loop = loop

    def run(self, name: str, fn: Callable[..., Any], *args: Any, timeout: Duration | None = None, **kwargs: Any) -> Any:
        """As Steps.run."""
        return self._wait(self._steps.run(name, fn, *args, timeout=timeout, **kwargs))

    def sleep(self, name: str, duration: Duration) -> None:
        """As Steps.sleep."""
        self._wait(self._steps.sleep(name, duration))

    def sleep_until(self, name: str, when: datetime | str) -> None:
        """As Steps.sleep_until."""
        self._wait(self._steps.sleep_until(name, when))

    def _wait(self, step: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result()
