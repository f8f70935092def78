"""`ctx.step`: the steps of a durable function. A finished step is never run again; its recorded result comes back.

Source: protocol/step-semantics.md 3 to 9.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar, get_args, overload

from msgspec import UNSET

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument, InvokeError, Unimplemented, ValidationError, WaitTimeoutError
from ironflow.base.time import parse_time, to_datetime, to_millis
from ironflow.sdk.durable.job.assignment import CompletedStep
from ironflow.sdk.durable.job.event import Event, awaited_event, read_as
from ironflow.sdk.durable.job.report import EventFilter, Sleep, WaitForEvent
from ironflow.sdk.durable.steps.alternatives import Alternative, First, LookBack, OnTimeout, choose
from ironflow.sdk.durable.steps.awaiting import noting_calls
from ironflow.sdk.durable.steps.branches import OnError, is_race, run_branches
from ironflow.sdk.durable.steps.determinism import in_branch
from ironflow.sdk.durable.steps.invoking import InvokingSteps, positive_ms
from ironflow.sdk.durable.steps.publish import default_key, step_name
from ironflow.sdk.durable.steps.racing import RacingSteps
from ironflow.sdk.durable.steps.receiving import ReceivingSteps
from ironflow.sdk.durable.steps.retrying import RetryLike
from ironflow.sdk.durable.steps.signals import Yield
from ironflow.sdk.durable.steps.step_ids import Scope, escaped
from ironflow.sdk.user_code.call import call
from ironflow.sdk.values.codec import check_reads_no_data
from ironflow.sdk.values.declared import Data
from ironflow.sdk.values.definitions import EventDefinition
from ironflow.sdk.values.payload import NOTHING, from_payload, to_payload
from ironflow.sdk.values.results import result_reader

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

WAIT_DEFAULT = "7d"


@noting_calls
class Steps(RacingSteps, ReceivingSteps, InvokingSteps):
    """The steps of one scope: of the run, or of one branch of a parallel."""

    __slots__ = ()

    # Arguments are checked against the body where no timeout or retry stands among them: types cannot say both.
    @overload
    async def run(self, name: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    async def run(self, name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    async def run(
        self,
        name: str,
        fn: Callable[..., Awaitable[T]],
        *args: Any,
        timeout: Duration | None,
        retry: RetryLike = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def run(
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        timeout: Duration | None,
        retry: RetryLike = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def run(
        self,
        name: str,
        fn: Callable[..., Awaitable[T]],
        *args: Any,
        retry: RetryLike,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def run(
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        retry: RetryLike,
        **kwargs: Any,
    ) -> T: ...

    async def run(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        timeout: Duration | None = None,
        retry: RetryLike = None,
        **kwargs: Any,
    ) -> Any:
        """Runs `fn(*args, **kwargs)` once and records what it returns, which must be JSON.

        fn: async, or a plain function, which runs in a thread. timeout: None takes the function's step_timeout.
        retry: attempts of this step, beside those of the run; None takes the function's step_retry. In between the run
        waits and takes no slot. A failure that has used them up, or that `retry_on` does not name, is final.
        Returns, or raises what the body's failure is seen as, when the result is durable on the server: it is never
        run again. A failure is raised again by every replay, until an attempt ends because of it.
        Raises StepError when the body raised, StepTimeoutError, SerializationError, ValidationError.
        """
        if not callable(fn):
            if asyncio.iscoroutine(fn):
                fn.close()
            raise ValidationError(
                f"step {name!r} was given {fn!r}. Give it a function and its arguments: run({name!r}, fetch, url)."
            )
        step_id = self._next_id(name)
        memo = self._replay.result(step_id, name)
        if memo is not None:
            return result_reader(fn)(memo.output)
        timeout_s = None if timeout is None else duration_ms(timeout) / 1000
        self._replay.check_running()
        attempts = self._replay.attempts(step_id, name, retry)
        return await self._replay.run(step_id, name, fn, args, kwargs, timeout_s, attempts)

    async def sleep(self, name: str, duration: Duration) -> None:
        """Sleeps without occupying a worker. duration: seconds, timedelta or text such as `10m`; more than nothing.

        Raises InvalidDuration.
        """
        step_id = self._next_id(name)
        length_ms = positive_ms(duration, f"step {name!r} sleeps for")
        if self._replay.completed(step_id, "sleep") is None:
            until = to_datetime(self._replay.now() + length_ms)
            raise self._replay.wait(Sleep(step_id=step_id, step_name=name, until=until))

    async def sleep_until(self, name: str, when: datetime | str) -> None:
        """Sleeps until a moment. when: an aware datetime or RFC 3339 text.

        A moment that passed while the run was on its way is no error, the run goes on at once. Raises ValueError for
        a moment before the event that started the run, InvalidArgument for what is no moment.
        """
        step_id = self._next_id(name)
        until = _moment(when, name)
        if self._replay.completed(step_id, "sleep") is not None:
            return
        if until < self._replay.job.event.timestamp:
            raise ValueError(f"step {name!r} sleeps until {until.isoformat()}, which was before the run began.")
        raise self._replay.wait(Sleep(step_id=step_id, step_name=name, until=until))

    @overload
    async def wait_for_event(
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
    async def wait_for_event(
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

    async def wait_for_event(
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
        """Waits until an event called `event` is emitted, and gives it.

        event: or a definition: the event is one of that name, of any version, and its data is read as its `type`.
        match: a path whose value must be that of the run's own event, or `match_value`; or a CEL expression.
        payload: kept with the wait, for readers of it. look_back: `run` takes the first event since the run was started
        that no earlier wait of the run has taken, `execution` only one since this execution began.
        on_timeout: None to get None when no event comes within `timeout`.
        Raises WaitTimeoutError when none comes, ValidationError, also for data of another type, InvalidDuration,
        SerializationError, CodecHidesData for a match on data that a codec hides.
        """
        step_id = self._next_id(name)
        wanted = (event.name if isinstance(event, EventDefinition) else event).strip()
        if not wanted:
            raise ValidationError(f"step {name!r} waits for an event without a name.")
        if look_back not in get_args(LookBack):
            raise ValidationError(f"step {name!r} has look_back={look_back!r}; write 'execution' or 'run'.")
        if on_timeout not in ("raise", None):
            raise ValidationError(f"step {name!r} has on_timeout={on_timeout!r}; write None, or leave it out.")
        timeout_ms = positive_ms(timeout, f"step {name!r} waits for")
        if match and self._replay.runner.codec is not None:
            check_reads_no_data(match, f"the match of step {name!r}")
        memo = self._replay.ended(step_id, "wait_for_event")
        if memo is not None and memo.timed_out:
            if on_timeout is None:
                return None
            late = wait_timeout(memo, name, wanted)
            self._replay.runner.raises(late, step_id)
            raise late
        if memo is not None and memo.output != NOTHING:
            return read_as(self._replay.upcast(awaited_event(memo.output)), event, name)
        waited = EventFilter(
            event=wanted,
            timeout=timeout.strip() if isinstance(timeout, str) else f"{timeout_ms}ms",
            match=match or UNSET,
            match_value=UNSET if match_value is None else match_value,
            look_back=UNSET if look_back == "execution" else look_back,
            payload=UNSET
            if payload is None
            else self._replay.runner.encoded(to_payload(payload, f"the payload of step {name!r}")),
        )
        raise self._replay.wait(WaitForEvent(step_id=step_id, step_name=name, event_filter=waited))

    async def publish(self, topic: str, data: Any = None, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Publishes a message to a topic, once. Gives its `eventId` and `sequence`.

        idempotency_key: None makes one of the step's id. Raises StepError when the server refuses, SerializationError.
        """
        name = step_name(topic)
        step_id = self._next_id(name)
        memo = self._replay.result(step_id, name)
        if memo is not None:
            return from_payload(memo.output)
        message = self._replay.runner.encoded(
            to_payload({} if data is None else data, f"the message to topic {topic!r}")
        )
        self._replay.check_running()
        args = (topic, message, idempotency_key or default_key(step_id))
        attempts = self._replay.attempts(step_id, name, None)
        return await self._replay.run(step_id, name, self._replay.publish, args, {}, None, attempts)

    @overload
    async def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["Steps"], Any]],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
    ) -> list[Any]: ...

    @overload
    async def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["Steps"], Any]],
        *,
        concurrency: int | None = None,
        until: Literal["first_success"],
    ) -> Any: ...

    async def parallel(
        self,
        name: str,
        branches: Sequence[Callable[["Steps"], Any]],
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail_fast",
        until: Literal["all", "first_success"] = "all",
    ) -> Any:
        """Runs branches concurrently and gives their results in order. Each uses the steps that it is given.

        concurrency: how many at a time, None for all. on_error: `fail_fast` raises the first branch's error, and
        cancels what other branches wait for and the functions they have invoked; `collect` puts exceptions in the
        place of results; `failFast` and `allSettled` are the same.
        until: `first_success` gives the answer of the first branch that succeeds; what the others
        wait for, and the functions they have invoked, is cancelled, and their compensations run. It takes no on_error.
        Raises AllBranchesFailed with the errors of all when none succeeds, StepError for a compensation that failed.
        """
        self._check_name(name)
        if is_race(until, on_error):
            return await self._first_success(name, branches, concurrency)
        scopes = self._scope.parallel(name, len(branches))
        return await run_branches(
            [
                partial(in_branch, scope, branch, Steps(self._replay, scope))
                for scope, branch in zip(scopes, branches, strict=True)
            ],
            concurrency,
            on_error,
            on_loop=True,
            cancel_waits=lambda: self._replay.cancel(self._scope.of_branches(name)),
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

    async def wait_any(
        self, name: str, /, *, rest: Literal["cancel", "leave"] = "cancel", **alternatives: Alternative
    ) -> First:
        """Waits for the first of several events, times and functions; gives its name and its value.

            first = await ctx.step.wait_any("reply", paid=event("order.paid"), late=sleep("3d"))

        rest: `cancel` ends the other waits, and cancels the functions they have invoked; `leave` lets them go on.
        Raises what the first alternative raises, ValidationError, Unimplemented for a server without many waits.
        """
        step_id = self._next_id(name)
        if not alternatives or rest not in ("cancel", "leave"):
            raise ValidationError(f"step {name!r}: give alternatives by name, and rest='cancel' or 'leave'.")
        if not self._replay.many_waits:
            raise Unimplemented(f"step {name!r}: this server, or the plain protocol, takes one wait at a time.")
        steps = {key: Steps(self._replay, Scope(f"{step_id}:{escaped(key)}")) for key in alternatives}
        memo = self._replay.completed(step_id, "invoke")
        if memo is not None:
            key = from_payload(memo.output)["first"]
            for other in alternatives:
                if other != key:
                    self._replay.pass_over(f"{step_id}:{escaped(other)}:")
            return First(key, await alternatives[key](steps[key], key))
        ended: list[tuple[datetime, int, str]] = []
        results: dict[str, tuple[Any, BaseException | None]] = {}
        waiting: Yield | None = None
        for place, (key, alternative) in enumerate(alternatives.items()):
            try:
                _, error = results[key] = await call(alternative, (steps[key], key), on_loop=True)
                if error is not None and not isinstance(error, InvokeError | WaitTimeoutError):
                    raise error
            except Yield as wait:
                waiting = wait
            else:
                ended.append((self._replay.ended_at(f"{step_id}:{escaped(key)}:"), place, key))
        if not ended and waiting is not None:
            raise waiting
        self._replay.check_running()
        first = min(ended)[2]
        for key in alternatives:
            if key != first:
                self._replay.leave(f"{step_id}:{escaped(key)}:", cancelled=rest == "cancel")
        await self._replay.runner.step(step_id, name, choose, (first,), {}, 0)
        value, error = results[first]
        if error is not None:
            raise error
        return First(first, value)

    def compensate(self, step_name: str, fn: Callable[[], Any]) -> None:
        """Registers how to undo a step: `fn` runs, as a step, if the run fails for good later; the newest first."""
        self._check_name(step_name)
        self._replay.compensations.add(step_name, fn)

    async def compensate_now(self) -> None:
        """Undoes what is registered with `compensate` up to here, the newest first, and goes on.

        Each compensation is a step, and does not run again when the run fails later. One that fails stops no other.
        Raises StepError for the first that failed: another attempt of the run tries it again.
        """
        await self._replay.compensate_now()


def mapped(items: Iterable[Item], fn: Callable[[Item, Any, int], Any]) -> list[Callable[[Any], Any]]:
    """A branch for each item, waiting to be given its steps."""
    return [partial(_mapped_item, fn, item, index) for index, item in enumerate(items)]


def _mapped_item(fn: Callable[[Item, Any, int], Any], item: Item, index: int, steps: Any) -> Any:
    return fn(item, steps, index)


def wait_timeout(step: CompletedStep, name: str, event: str) -> WaitTimeoutError:
    """The error of a wait that is recorded as timed out."""
    recorded = step.error.get("message") if isinstance(step.error, dict) else None
    message = recorded or f"No {event} came before the wait {name!r} timed out."
    return WaitTimeoutError(message, step_id=step.step_id, step_name=name, event=event)


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
