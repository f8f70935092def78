"""`ctx.step`: the steps of a durable function. A finished step is never run again; its recorded result comes back.

Source: protocol/step-semantics.md 3 and 4.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ironflow.base.duration import Duration, InvalidDuration, duration_ms
from ironflow.base.errors import InvalidArgument, ValidationError
from ironflow.base.time import parse_time, to_datetime, to_millis
from ironflow.sdk.report import Sleep
from ironflow.sdk.results import result_reader
from ironflow.sdk.stepids import Scope

if TYPE_CHECKING:
    from ironflow.sdk.execution import Execution

T = TypeVar("T")


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
        memo = self._execution.memo(step_id)
        if memo is not None:
            return result_reader(fn)(memo.output)
        timeout_s = None if timeout is None else duration_ms(timeout) / 1000
        return await self._execution.perform(step_id, name, fn, args, kwargs, timeout_s)

    async def sleep(self, name: str, duration: Duration) -> None:
        """Rests without keeping a worker busy. duration: seconds, timedelta or text such as `10m`; more than nothing.

        Raises InvalidDuration.
        """
        step_id = self._next_id(name)
        length_ms = duration_ms(duration)
        if length_ms == 0:
            raise InvalidDuration(f"step {name!r} sleeps for {duration!r}; write a duration longer than nothing.")
        if self._execution.memo(step_id) is None:
            until = to_datetime(self._execution.now() + length_ms)
            self._execution.leave(Sleep(step_id=step_id, step_name=name, until=until))

    async def sleep_until(self, name: str, when: datetime | str) -> None:
        """Rests until a moment. when: an aware datetime or RFC 3339 text.

        A moment that passed while the run was on its way is no error, the run goes on at once. Raises ValueError for
        a moment before the event that started the run, InvalidArgument for what is no moment.
        """
        step_id = self._next_id(name)
        until = _moment(when, name)
        if self._execution.memo(step_id) is not None:
            return
        if until < self._execution.job.event.timestamp:
            raise ValueError(f"step {name!r} sleeps until {until.isoformat()}, which was before the run began.")
        self._execution.leave(Sleep(step_id=step_id, step_name=name, until=until))

    def _next_id(self, name: str) -> str:
        if not isinstance(name, str) or not name:
            raise ValidationError(f"a step is called {name!r}; give it a name.")
        self._execution.check_open()
        return self._scope.next_id(name)


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
