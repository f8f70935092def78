"""`ctx.step` for handlers that are plain functions: the same steps, waited for in the handler's thread."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar, overload

from ironflow.base.duration import Duration
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.job.event import Event
from ironflow.sdk.durable.steps.alternatives import Alternative, First, LookBack, OnTimeout
from ironflow.sdk.durable.steps.branches import FailFast, OnError, is_race
from ironflow.sdk.durable.steps.bridge import Bridge
from ironflow.sdk.durable.steps.handles import Handle
from ironflow.sdk.durable.steps.invoke import Child
from ironflow.sdk.durable.steps.invoking import INVOKE_DEFAULT, TimeoutFrom
from ironflow.sdk.durable.steps.messages import Message
from ironflow.sdk.durable.steps.receiving import RECEIVE_DEFAULT
from ironflow.sdk.durable.steps.retrying import RetryLike
from ironflow.sdk.durable.steps.steps import WAIT_DEFAULT, Item, Steps, mapped
from ironflow.sdk.user_code.threads import in_thread
from ironflow.sdk.values.declared import Data, Input, Output
from ironflow.sdk.values.definitions import EventDefinition

P = ParamSpec("P")
T = TypeVar("T")


class BlockingMessage:
    """A Message whose `reply` and `reject` are called without `await`."""

    __slots__ = ("_bridge", "_message")

    def __init__(self, message: Message, bridge: Bridge) -> None:
        self._message = message
        self._bridge = bridge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    def reply(self, value: Any = None) -> bool:
        """As Message.reply."""
        return self._bridge.wait(self._message.reply(value))

    def reject(self, reason: str) -> bool:
        """As Message.reject."""
        return self._bridge.wait(self._message.reject(reason))


class BlockingSteps:
    """The methods of Steps without `await`. Bodies run in threads of their own, or on the loop when they are async."""

    __slots__ = ("_bridge", "_steps")

    def __init__(self, steps: Steps, bridge: Bridge) -> None:
        self._steps = steps
        self._bridge = bridge

    @overload
    def run(self, name: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    def run(self, name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    def run(
        self,
        name: str,
        fn: Callable[..., Awaitable[T]],
        *args: Any,
        timeout: Duration | None,
        retry: RetryLike = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    def run(
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        timeout: Duration | None,
        retry: RetryLike = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    def run(
        self,
        name: str,
        fn: Callable[..., Awaitable[T]],
        *args: Any,
        retry: RetryLike,
        **kwargs: Any,
    ) -> T: ...

    @overload
    def run(
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        retry: RetryLike,
        **kwargs: Any,
    ) -> T: ...

    def run(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        timeout: Duration | None = None,
        retry: RetryLike = None,
        **kwargs: Any,
    ) -> Any:
        """As Steps.run."""
        return self._bridge.wait(self._steps.run(name, fn, *args, timeout=timeout, retry=retry, **kwargs))

    def sleep(self, name: str, duration: Duration) -> None:
        """As Steps.sleep."""
        self._bridge.wait(self._steps.sleep(name, duration))

    def sleep_until(self, name: str, when: datetime | str) -> None:
        """As Steps.sleep_until."""
        self._bridge.wait(self._steps.sleep_until(name, when))

    @overload
    def wait_for_event(
        self,
        name: str,
        *,
        event: str | EventDefinition[Data],
        match: str | None = None,
        match_value: str | None = None,
        payload: Any = None,
        look_back: LookBack = "run",
        timeout: Duration = WAIT_DEFAULT,
        on_timeout: Literal["raise"] = "raise",
    ) -> Event[Data]: ...

    @overload
    def wait_for_event(
        self,
        name: str,
        *,
        event: str | EventDefinition[Data],
        match: str | None = None,
        match_value: str | None = None,
        payload: Any = None,
        look_back: LookBack = "run",
        timeout: Duration = WAIT_DEFAULT,
        on_timeout: OnTimeout,
    ) -> Event[Data] | None: ...

    def wait_for_event(
        self,
        name: str,
        *,
        event: str | EventDefinition[Data],
        match: str | None = None,
        match_value: str | None = None,
        payload: Any = None,
        look_back: LookBack = "run",
        timeout: Duration = WAIT_DEFAULT,
        on_timeout: OnTimeout = "raise",
    ) -> Event[Data] | None:
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
                on_timeout=on_timeout,
            )
        )

    def receive(
        self, name: str, *, timeout: Duration = RECEIVE_DEFAULT, on_timeout: Literal["raise"] | None = "raise"
    ) -> "BlockingMessage | None":
        """As Steps.receive; the message's `reply` and `reject` are called without `await`."""
        found = self._bridge.wait(self._steps.receive(name, timeout=timeout, on_timeout=on_timeout))
        return None if found is None else BlockingMessage(found, self._bridge)

    @overload
    def invoke(
        self,
        function: FunctionDefinition[Input, Output],
        input: Input,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Output: ...

    @overload
    def invoke(
        self,
        function: FunctionDefinition[None, Output],
        input: None = None,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Output: ...

    @overload
    def invoke(
        self,
        function: str,
        input: Any = None,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Any: ...

    def invoke(
        self,
        function: str | FunctionDefinition[Any, Any],
        input: Any = None,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Any:
        """As Steps.invoke."""
        return self._bridge.wait(
            self._steps.invoke(
                function, input, timeout=timeout, timeout_from=timeout_from, delay=delay, entity_key=entity_key
            )
        )

    @overload
    def invoke_async(
        self,
        function: FunctionDefinition[Input, Any],
        input: Input,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Child: ...

    @overload
    def invoke_async(
        self,
        function: FunctionDefinition[None, Any],
        input: None = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Child: ...

    @overload
    def invoke_async(
        self, function: str, input: Any = None, *, delay: Duration | None = None, entity_key: str = ""
    ) -> Child: ...

    def invoke_async(
        self,
        function: str | FunctionDefinition[Any, Any],
        input: Any = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Child:
        """As Steps.invoke_async."""
        return self._bridge.wait(self._steps.invoke_async(function, input, delay=delay, entity_key=entity_key))

    @overload
    def start(
        self,
        function: FunctionDefinition[Input, Output],
        input: Input,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Handle[Output]: ...

    @overload
    def start(
        self,
        function: FunctionDefinition[None, Output],
        input: None = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Handle[Output]: ...

    @overload
    def start(
        self, function: str, input: Any = None, *, delay: Duration | None = None, entity_key: str = ""
    ) -> Handle[Any]: ...

    def start(
        self,
        function: str | FunctionDefinition[Any, Any],
        input: Any = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Handle[Any]:
        """As Steps.start."""
        return self._bridge.wait(self._steps.start(function, input, delay=delay, entity_key=entity_key))

    @overload
    def start_many(
        self,
        function: FunctionDefinition[Input, Output],
        inputs: Iterable[Input],
        *,
        delay: Duration | None = None,
        entity_key: str | Sequence[str] = "",
    ) -> list[Handle[Output]]: ...

    @overload
    def start_many(
        self,
        function: str,
        inputs: Iterable[Any],
        *,
        delay: Duration | None = None,
        entity_key: str | Sequence[str] = "",
    ) -> list[Handle[Any]]: ...

    def start_many(
        self,
        function: str | FunctionDefinition[Any, Any],
        inputs: Iterable[Any],
        *,
        delay: Duration | None = None,
        entity_key: str | Sequence[str] = "",
    ) -> list[Handle[Any]]:
        """As Steps.start_many."""
        return self._bridge.wait(self._steps.start_many(function, inputs, delay=delay, entity_key=entity_key))

    @overload
    def join(
        self,
        name: str,
        handles: Sequence[Handle[Output]],
        *,
        first: int | None = None,
        on_error: FailFast = "fail_fast",
        timeout: Duration | None = None,
        rest: Literal["leave", "cancel"] = "leave",
    ) -> list[Output]: ...

    @overload
    def join(
        self,
        name: str,
        handles: Sequence[Handle[Any]],
        *,
        first: int | None = None,
        on_error: OnError,
        timeout: Duration | None = None,
        rest: Literal["leave", "cancel"] = "leave",
    ) -> list[Any]: ...

    def join(
        self,
        name: str,
        handles: Sequence[Handle[Any]],
        *,
        first: int | None = None,
        on_error: OnError = "fail_fast",
        timeout: Duration | None = None,
        rest: Literal["leave", "cancel"] = "leave",
    ) -> list[Any]:
        """As Steps.join."""
        return self._bridge.wait(
            self._steps.join(name, handles, first=first, on_error=on_error, timeout=timeout, rest=rest)
        )

    def publish(self, topic: str, data: Any = None, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """As Steps.publish."""
        return self._bridge.wait(self._steps.publish(topic, data, idempotency_key=idempotency_key))

    @overload
    def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["BlockingSteps"], Any]],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
    ) -> list[Any]: ...

    @overload
    def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["BlockingSteps"], Any]],
        *,
        concurrency: int | None = None,
        until: Literal["first_success"],
    ) -> Any: ...

    def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["BlockingSteps"], Any]],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
        until: Literal["all", "first_success"] = "all",
    ) -> Any:
        """As Steps.parallel; each branch runs in a thread."""
        blocking = [partial(self._in_thread, branch) for branch in branches]
        if is_race(until, on_error):
            racing = self._steps.parallel(name, blocking, concurrency=concurrency, until="first_success")
            return self._bridge.wait(racing)
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

    def wait_any(
        self, name: str, /, *, rest: Literal["cancel", "leave"] = "cancel", **alternatives: Alternative
    ) -> First:
        """As Steps.wait_any."""
        return self._bridge.wait(self._steps.wait_any(name, rest=rest, **alternatives))

    def compensate(self, step_name: str, fn: Callable[[], Any]) -> None:
        """As Steps.compensate."""
        self._steps.compensate(step_name, fn)

    def compensate_now(self) -> None:
        """As Steps.compensate_now."""
        self._bridge.wait(self._steps.compensate_now())

    async def _in_thread(self, branch: Callable[["BlockingSteps"], Any], steps: Steps) -> Any:
        return await in_thread(branch, BlockingSteps(steps, self._bridge))
