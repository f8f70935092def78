"""`ctx.step` for handlers that are plain functions: the same steps, waited for in the handler's thread."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ironflow.base.duration import Duration
from ironflow.sdk.branches import OnError
from ironflow.sdk.event import Event
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.invoking import Child
from ironflow.sdk.steps import INVOKE_DEFAULT, WAIT_DEFAULT, Item, LookBack, Steps, mapped
from ironflow.sdk.threads import in_thread

T = TypeVar("T")


class Bridge:
    """Lets a handler's threads wait for what runs on the event loop, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waited_for: set[Future[Any]] = set()
        self._open = True

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, in a thread. Raises CancelledError of concurrent.futures when the bridge is closed."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
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


class BlockingSteps:
    """The methods of Steps without `await`. Bodies run in threads of their own, or on the loop when they are async."""

    __slots__ = ("_bridge", "_steps")

    def __init__(self, steps: Steps, bridge: Bridge) -> None:
        self._steps = steps
        self._bridge = bridge

    def run(self, name: str, fn: Callable[..., Any], *args: Any, timeout: Duration | None = None, **kwargs: Any) -> Any:
        """As Steps.run."""
        return self._bridge.wait(self._steps.run(name, fn, *args, timeout=timeout, **kwargs))

    def sleep(self, name: str, duration: Duration) -> None:
        """As Steps.sleep."""
        self._bridge.wait(self._steps.sleep(name, duration))

    def sleep_until(self, name: str, when: datetime | str) -> None:
        """As Steps.sleep_until."""
        self._bridge.wait(self._steps.sleep_until(name, when))

    def wait_for_event(
        self,
        name: str,
        *,
        event: str,
        match: str | None = None,
        match_value: str | None = None,
        payload: Any = None,
        look_back: LookBack = "execution",
        timeout: Duration = WAIT_DEFAULT,
    ) -> Event:
        """As Steps.wait_for_event."""
        return self._bridge.wait(
            self._steps.wait_for_event(
                name,
                event=event,
                match=match,
                match_value=match_value,
                payload=payload,
                look_back=look_back,
                timeout=timeout,
            )
        )

    def invoke(
        self, function: "str | FunctionDefinition", input: Any = None, *, timeout: Duration = INVOKE_DEFAULT
    ) -> Any:
        """As Steps.invoke."""
        return self._bridge.wait(self._steps.invoke(function, input, timeout=timeout))

    def invoke_async(self, function: "str | FunctionDefinition", input: Any = None) -> Child:
        """As Steps.invoke_async."""
        return self._bridge.wait(self._steps.invoke_async(function, input))

    def publish(self, topic: str, data: Any = None, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """As Steps.publish."""
        return self._bridge.wait(self._steps.publish(topic, data, idempotency_key=idempotency_key))

    def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["BlockingSteps"], Any]],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
    ) -> list[Any]:
        """As Steps.parallel; each branch runs in a thread."""
        blocking = [partial(self._in_thread, branch) for branch in branches]
        return self._bridge.wait(self._steps.parallel(name, blocking, concurrency=concurrency, on_error=on_error))

    def map(
        self,
        name: str,
        items: Iterable[Item],
        fn: Callable[[Item, "BlockingSteps", int], Any],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
    ) -> list[Any]:
        """As Steps.map; each item's branch runs in a thread."""
        return self.parallel(name, mapped(items, fn), concurrency=concurrency, on_error=on_error)

    def compensate(self, step_name: str, fn: Callable[[], Any]) -> None:
        """As Steps.compensate."""
        self._steps.compensate(step_name, fn)

    async def _in_thread(self, branch: Callable[["BlockingSteps"], Any], steps: Steps) -> Any:
        return await in_thread(branch, BlockingSteps(steps, self._bridge))
