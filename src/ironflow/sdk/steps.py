"""`ctx.step`: the steps of a durable function. A finished step is never run again; its recorded result comes back.

Source: protocol/step-semantics.md 3 to 9.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, overload

from msgspec import UNSET

from ironflow.base.duration import Duration, InvalidDuration, duration_ms
from ironflow.base.errors import InvalidArgument, ValidationError
from ironflow.base.time import parse_time, to_datetime, to_millis
from ironflow.sdk.branches import OnError, run_branches
from ironflow.sdk.event import Event, awaited_event
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.invoking import Child, output_of
from ironflow.sdk.payload import NOTHING, from_payload, to_payload
from ironflow.sdk.publishing import default_key, step_name
from ironflow.sdk.report import EventFilter, InvokeFunction, InvokeFunctionAsync, Sleep, WaitForEvent
from ironflow.sdk.results import result_reader
from ironflow.sdk.stepids import Scope

if TYPE_CHECKING:
    from ironflow.sdk.execution import Execution

T = TypeVar("T")
Item = TypeVar("Item")

WAIT_DEFAULT = "7d"
INVOKE_DEFAULT = "30s"
LookBack = Literal["execution", "run"]


class Steps:
    """The steps of one scope: of the run, or of one branch of a parallel."""

    __slots__ = ("_execution", "_scope")

    def __init__(self, execution: "Execution", scope: Scope) -> None:
        self._execution = execution
        self._scope = scope

    @overload
    async def run(
        self, name: str, fn: Callable[..., Awaitable[T]], *args: Any, timeout: Duration | None = None, **kwargs: Any
    ) -> T: ...

    @overload
    async def run(
        self, name: str, fn: Callable[..., T], *args: Any, timeout: Duration | None = None, **kwargs: Any
    ) -> T: ...

    async def run(
        self, name: str, fn: Callable[..., Any], *args: Any, timeout: Duration | None = None, **kwargs: Any
    ) -> Any:
        """Runs `fn(*args, **kwargs)` once and records what it returns, which must be JSON.

        fn: async, or a plain function, which runs in a thread. timeout: None takes the function's step_timeout.
        Raises StepError when the body raised, StepTimeoutError, SerializationError.
        """
        if not callable(fn):
            if asyncio.iscoroutine(fn):
                fn.close()
            raise ValidationError(
                f"step {name!r} was given {fn!r}. Give it a function and its arguments: run({name!r}, fetch, url)."
            )
        step_id = self._next_id(name)
        memo = self._execution.completed(step_id, "invoke")
        if memo is not None:
            return result_reader(fn)(memo.output)
        timeout_s = None if timeout is None else duration_ms(timeout) / 1000
        return await self._execution.bodies.step(step_id, name, fn, args, kwargs, timeout_s)

    async def sleep(self, name: str, duration: Duration) -> None:
        """Rests without keeping a worker busy. duration: seconds, timedelta or text such as `10m`; more than nothing.

        Raises InvalidDuration.
        """
        step_id = self._next_id(name)
        length_ms = _positive_ms(duration, f"step {name!r} sleeps for")
        if self._execution.completed(step_id, "sleep") is None:
            until = to_datetime(self._execution.now() + length_ms)
            raise self._execution.leaving(Sleep(step_id=step_id, step_name=name, until=until))

    async def sleep_until(self, name: str, when: datetime | str) -> None:
        """Rests until a moment. when: an aware datetime or RFC 3339 text.

        A moment that passed while the run was on its way is no error, the run goes on at once. Raises ValueError for
        a moment before the event that started the run, InvalidArgument for what is no moment.
        """
        step_id = self._next_id(name)
        until = _moment(when, name)
        if self._execution.completed(step_id, "sleep") is not None:
            return
        if until < self._execution.job.event.timestamp:
            raise ValueError(f"step {name!r} sleeps until {until.isoformat()}, which was before the run began.")
        raise self._execution.leaving(Sleep(step_id=step_id, step_name=name, until=until))

    async def wait_for_event(
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
        """Rests until an event called `event` is emitted, and gives it.

        match: a path whose value must be that of the run's own event, or `match_value`; or a CEL expression.
        payload: kept with the wait, for whoever is to answer. look_back: `run` to take an event that came since the
        run was started, `execution` for one since this execution began. When `timeout` passes first, the run fails.
        Raises ValidationError, InvalidDuration, SerializationError.
        """
        step_id = self._next_id(name)
        if not event.strip():
            raise ValidationError(f"step {name!r} waits for an event without a name.")
        if look_back not in get_args(LookBack):
            raise ValidationError(f"step {name!r} has look_back={look_back!r}; write 'execution' or 'run'.")
        timeout_ms = _positive_ms(timeout, f"step {name!r} waits for")
        memo = self._execution.completed(step_id, "wait_for_event")
        if memo is not None and memo.output != NOTHING:
            return self._execution.upcast(awaited_event(memo.output))
        waited = EventFilter(
            event=event.strip(),
            timeout=timeout.strip() if isinstance(timeout, str) else f"{timeout_ms}ms",
            match=match or UNSET,
            match_value=UNSET if match_value is None else match_value,
            look_back=UNSET if look_back == "execution" else look_back,
            payload=UNSET if payload is None else to_payload(payload, f"the payload of step {name!r}"),
        )
        raise self._execution.leaving(WaitForEvent(step_id=step_id, step_name=name, event_filter=waited))

    async def invoke(
        self, function: "str | FunctionDefinition", input: Any = None, *, timeout: Duration = INVOKE_DEFAULT
    ) -> Any:
        """Runs another function and gives its output.

        Raises InvokeError when it failed, could not be started, or took longer than `timeout`; SerializationError.
        """
        function_id = function if isinstance(function, str) else function.id
        step_id = self._next_id(function_id)
        done = self._execution.ended(step_id, "invoke_function")
        if done is not None:
            return output_of(done, function_id)
        timeout_ms = _positive_ms(timeout, f"{function_id!r} is waited for")
        raise self._execution.leaving(
            InvokeFunction(
                step_id=step_id,
                step_name=function_id,
                function_id=function_id,
                input=to_payload(input, f"the input of {function_id!r}"),
                invoke_timeout_ms=timeout_ms,
            )
        )

    async def invoke_async(self, function: "str | FunctionDefinition", input: Any = None) -> Child:
        """Starts another function and goes on. Raises InvokeError when it cannot be started, SerializationError."""
        function_id = function if isinstance(function, str) else function.id
        step_id = self._next_id(function_id)
        done = self._execution.ended(step_id, "invoke_function")
        if done is not None:
            return Child(output_of(done, function_id)["run_id"])
        raise self._execution.leaving(
            InvokeFunctionAsync(
                step_id=step_id,
                step_name=function_id,
                function_id=function_id,
                input=to_payload(input, f"the input of {function_id!r}"),
            )
        )

    async def publish(self, topic: str, data: Any = None, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Publishes a message to a topic, once. Gives its `eventId` and `sequence`.

        idempotency_key: None makes one of the step's id. Raises StepError when the server refuses, SerializationError.
        """
        name = step_name(topic)
        step_id = self._next_id(name)
        memo = self._execution.completed(step_id, "invoke")
        if memo is not None:
            return from_payload(memo.output)
        message = to_payload({} if data is None else data, f"the message to topic {topic!r}")
        args = (topic, message, idempotency_key or default_key(step_id))
        return await self._execution.bodies.step(step_id, name, self._execution.publish, args, {}, None)

    async def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["Steps"], Any]],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
    ) -> list[Any]:
        """Runs branches side by side and gives their results in order. Each uses the steps that it is given.

        concurrency: how many at a time, None for all. on_error: `fail_fast` raises the first branch's error, `collect`
        puts exceptions in the place of results.
        """
        self._check_name(name)
        return await run_branches(
            [partial(branch, Steps(self._execution, self._scope.branch(name, i))) for i, branch in enumerate(branches)],
            concurrency,
            on_error,
            on_loop=True,
        )

    async def map(
        self,
        name: str,
        items: Iterable[Item],
        fn: Callable[[Item, "Steps", int], Any],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
    ) -> list[Any]:
        """As parallel, with a branch `fn(item, steps, index)` for each item."""
        return await self.parallel(name, mapped(items, fn), concurrency=concurrency, on_error=on_error)

    def compensate(self, step_name: str, fn: Callable[[], Any]) -> None:
        """Says how to undo a step: `fn` runs, as a step, if the run fails for good later. The newest runs first."""
        self._check_name(step_name)
        self._execution.compensations.add(step_name, fn)

    def _next_id(self, name: str) -> str:
        self._check_name(name)
        return self._scope.next_id(name)

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValidationError(f"a step is called {name!r}; give it a name.")
        self._execution.check_open()


def mapped(items: Iterable[Item], fn: Callable[[Item, Any, int], Any]) -> list[Callable[[Any], Any]]:
    """A branch for each item, waiting to be given its steps."""
    return [partial(_mapped_item, fn, item, index) for index, item in enumerate(items)]


def _mapped_item(fn: Callable[[Item, Any, int], Any], item: Item, index: int, steps: Any) -> Any:
    return fn(item, steps, index)


def _positive_ms(span: Duration, what: str) -> int:
    length_ms = duration_ms(span)
    if length_ms == 0:
        raise InvalidDuration(f"{what} {span!r}; write a duration longer than nothing.")
    return length_ms


def _moment(when: datetime | str, name: str) -> datetime:
    if isinstance(when, str):
        return to_datetime(parse_time(when))
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise InvalidArgument(
            f"step {name!r} sleeps until {when!r}; write a datetime with a time zone, or RFC 3339 text."
        )
    at = to_millis(when)
    # Whole milliseconds, rounded up: never awake before the moment.
    return to_datetime(at if to_datetime(at) == when else at + 1)
