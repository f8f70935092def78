"""`@function`: a handler with the settings under which the server runs it."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, Protocol, overload

import msgspec

from ironflow.base.duration import Duration
from ironflow.base.errors import ValidationError
from ironflow.features.functions.contract import ExecutionMode, InvalidFunction, RegisterFunction, Trigger
from ironflow.sdk.definition.controls import (
    CancelOn,
    CircuitBreaker,
    Concurrency,
    Debounce,
    Retry,
    Throttle,
    check,
    check_run_retry,
    check_step_retry,
    control,
    span_ms,
)
from ironflow.sdk.definition.triggers import Names, triggers_of
from ironflow.sdk.user_code.signature import UNTYPED, Handler, code_hash, data_parameter, resolved
from ironflow.sdk.values.declared import Input, Input_contra, Output, Output_co
from ironflow.sdk.values.payload import Read, from_payload, reader_of, to_payload
from ironflow.sdk.values.results import result_reader

CODE_HASH = "__ironflow_code_hash"
_ID = re.compile(r"[^\s*>\x00-\x1f\x7f]{1,256}")
_RETENTIONS = ("7d", "30d", "90d", "forever")


class StateShape(NamedTuple):
    """The state of an entity. read: makes it of JSON. begin: makes it where no handler has set one."""

    read: Read
    begin: Callable[[], Any]


@dataclass(frozen=True, eq=False)
class FunctionDefinition(Generic[Input_contra, Output_co]):
    """A function of a user's program, from Input_contra to Output_co. Calling it calls its handler, as tests do.

    registration: gives the message that registers it.
    step_timeout_s: for steps that name none of their own; None for no limit.
    checkpoint: when results of steps are durable; empty for the worker's.
    step_retry: of steps that name none of their own; None for no attempts but the run's. state: of the entity that it
    is a handler of.
    """

    id: str
    handler: Handler
    settings: RegisterFunction = field(repr=False)
    step_timeout_s: float | None = None
    schema: Any = None
    checkpoint: Literal["", "each", "batched"] = ""
    step_retry: Retry | None = None
    state: StateShape | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.handler(*args, **kwargs)

    def registration(self, mode: ExecutionMode | None = None) -> RegisterFunction:
        """The message that registers the function; the handler's code hash makes a changed handler a new version.

        mode: how the function is hosted, where its settings do not name it.
        """
        metadata = {**self.settings.metadata, CODE_HASH: to_payload(code_hash(self.handler), "the code hash")}
        return msgspec.structs.replace(
            self.settings, metadata=metadata, preferred_mode=self.settings.preferred_mode or mode
        )

    @cached_property
    def code_version(self) -> str:
        """The version of the handler's code, where its worker names none: the hash of its source."""
        return code_hash(self.handler)

    @cached_property
    def takes_data(self) -> bool:
        """Whether the handler has a second parameter."""
        return data_parameter(self.handler, self.id) is not None

    @cached_property
    def read_data(self) -> Read:
        """Reads an event's data as the type that `schema` or the second parameter names; plain values otherwise.

        The reader raises ValidationError. Looking the type up raises InvalidFunction when it cannot be found.
        """
        parameter = data_parameter(self.handler, self.id)
        kind = UNTYPED if parameter is None else parameter.annotation
        try:
            kind = self.schema if self.schema is not None else resolved(kind, self.handler)
            return from_payload if kind in (UNTYPED, Any) else reader_of(kind)
        except (NameError, ValidationError) as fault:
            raise InvalidFunction(
                f"function {self.id!r}: the type of its data cannot be used: {fault}. Name another with schema=."
            ) from fault

    @property
    def read_output(self) -> Read:
        """Reads the output as the class that the handler is annotated to return; plain values otherwise.

        The reader raises ValidationError.
        """
        return result_reader(self.handler)


def id_of(function: str | FunctionDefinition) -> str:
    return function if isinstance(function, str) else function.id


def output_reader(function: str | FunctionDefinition) -> Read:
    """How the output of a function is read: as it declares, where its definition is given."""
    return from_payload if isinstance(function, str) else function.read_output


class Define(Protocol):
    """Makes a function of a handler; the type of the handler's data and of its return value are the function's."""

    @overload
    def __call__(self, handler: Callable[[Any, Input], Awaitable[Output]], /) -> FunctionDefinition[Input, Output]: ...
    @overload
    def __call__(self, handler: Callable[[Any], Awaitable[Output]], /) -> FunctionDefinition[Any, Output]: ...
    @overload
    def __call__(self, handler: Callable[[Any, Input], Output], /) -> FunctionDefinition[Input, Output]: ...
    @overload
    def __call__(self, handler: Callable[[Any], Output], /) -> FunctionDefinition[Any, Output]: ...


def function(
    id: str,
    *,
    on: Names | None = None,
    cron: Names | None = None,
    tz: str = "",
    overlap: Literal["", "all", "skip", "one", "cancel_running"] = "",
    when: str = "",
    triggers: Sequence[Mapping[str, Any] | Trigger] | None = None,
    name: str = "",
    description: str = "",
    retry: Retry | Mapping[str, Any] | None = None,
    step_retry: Retry | Mapping[str, Any] | None = None,
    timeout: Duration | None = None,
    step_timeout: Duration | None = None,
    compensation_timeout: Duration = "5m",
    on_cancel: Literal["", "end", "compensate"] = "",
    concurrency: Concurrency | Mapping[str, Any] | None = None,
    debounce: Debounce | Mapping[str, Any] | None = None,
    throttle: Throttle | Mapping[str, Any] | None = None,
    cancel_on: Sequence[CancelOn | Mapping[str, Any]] = (),
    circuit_breaker: CircuitBreaker | Mapping[str, Any] | None = None,
    actor_key: str = "",
    key: str = "",
    if_running: Literal["", "use", "refuse", "replace"] = "",
    priority: str = "",
    on_code_change: Literal["", "continue", "warn", "pause", "pin"] = "",
    secrets: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    recording: bool = False,
    recording_retention: str = "",
    recording_profile: Literal["", "all", "run_lifecycle", "steps"] = "",
    pause_behavior: Literal["", "hold", "release"] = "",
    mode: Literal["", "pull", "push"] = "",
    endpoint_url: str = "",
    push_budget: Duration | None = None,
    checkpoint: Literal["", "each", "batched"] = "",
    metadata: Mapping[str, Any] | None = None,
    schema: Any = None,
) -> Define:
    """Makes a durable function of a handler `(ctx)` or `(ctx, data)`, async or not.

        @function("process-order", on="order.placed", retry=Retry(max_attempts=5))
        async def process_order(ctx, order: Order):
            return await ctx.step.run("charge", charge, order)

    on: event names or patterns; when: a CEL expression over the event, for all of them. cron: times, read in tz.
    overlap: what a tick of cron does while a run of an earlier tick goes on: starts another, which is the default,
    skips, keeps one tick until that run has ended, or cancels that run.
    triggers: the same as dicts with event, expression, cron, tz. Without any, the function runs only when invoked.
    retry: of the run: its attempts; step_retry: of each step that names none, whose attempts do not count as the run's.
    timeout: for one execution; step_timeout: for each step that names none. Durations: text, seconds or timedelta.
    compensation_timeout: for the compensations of a run that failed without its worker, by a time-out or a lost lease.
    on_cancel: `compensate` has a run that is cancelled undone first, within compensation_timeout; `end`, which is the
    default, ends it at once.
    actor_key: a path in the event's data; runs with the same value go to the same worker, one after another.
    priority: CEL over the event that gives a whole number from -100 to 100, such as `data.tier == 'gold' ? 10 : 0`:
    each point has the run queue as if it had come a minute earlier.
    key: CEL over the event, such as `data.orderId`: of the runs that have not ended, one has it. if_running: what an
    event does whose key a run has: `use` (default) and `refuse` start no other, `replace` cancels that run.
    labels: only workers that have all of these run it. secrets: names that `ctx.secrets` may give.
    on_code_change: what becomes of runs whose recorded steps the code does not ask for any more: `continue`, `warn`,
    `pause`; `pin` has runs go on with workers of the version that they began with. Without it, the server's holds.
    recording: keep history for time travel.
    mode, endpoint_url: `push` has the server call that endpoint instead of workers, for at most push_budget a request.
    checkpoint: `each`: a step's call returns once its result is durable; `batched`: results are reported up to a second
    later, and that second of steps may run again. Without it, the worker's holds, which is `each`.
    schema: the type of the event's data, where the handler's second parameter does not name it.
    Raises InvalidFunction at once for settings that no server would accept.
    """
    where = f"function {id!r}"
    try:
        check(isinstance(id, str) and _ID.fullmatch(id) is not None, "an id is text without spaces, `*` or `>`.")
        check(recording_retention in ("", *_RETENTIONS), f"recording_retention is one of {', '.join(_RETENTIONS)}.")
        check(
            recording_profile in ("", "all", "run_lifecycle", "steps"),
            "recording_profile is all, run_lifecycle or steps.",
        )
        check(pause_behavior in ("", "hold", "release"), "pause_behavior is hold or release.")
        check(mode in ("", "pull", "push"), "mode is pull or push.")
        check(on_cancel in ("", "end", "compensate"), "on_cancel is end or compensate.")
        check(checkpoint in ("", "each", "batched"), "checkpoint is each or batched.")
        check(if_running in ("", "use", "refuse", "replace"), "if_running is use, refuse or replace.")
        check(
            on_code_change in ("", "continue", "warn", "pause", "pin"),
            "on_code_change is continue, warn, pause or pin.",
        )
        check(not if_running or bool(key), "if_running= says what becomes of a key that is taken; there is no key=.")
        check(not isinstance(secrets, str), "secrets is a list of names.")
        check(
            schema is None or not isinstance(schema, Mapping),
            "schema is a type, such as a struct or a model.",
        )
        given_retry, given_concurrency = control(Retry, retry), control(Concurrency, concurrency)
        given_step_retry = control(Retry, step_retry)
        if given_retry is not None:
            check_run_retry(given_retry)
        if given_step_retry is not None:
            check_step_retry(given_step_retry)
        given_debounce, given_throttle = control(Debounce, debounce), control(Throttle, throttle)
        given_breaker = control(CircuitBreaker, circuit_breaker)
        cancels = [spec.message() for each in cancel_on if (spec := control(CancelOn, each))]
        check(
            len({(each.event, each.match) for each in cancels}) == len(cancels), "cancel_on names the same thing twice."
        )
        settings = RegisterFunction(
            id=id,
            name=name,
            description=description,
            triggers=triggers_of(on, cron, tz, when, triggers, overlap),
            retry=given_retry.message() if given_retry else None,
            timeout_ms=_positive_ms(timeout, "timeout"),
            compensation_timeout_ms=_positive_ms(compensation_timeout, "compensation_timeout"),
            compensate_on_cancel=on_cancel == "compensate",
            concurrency=given_concurrency.message() if given_concurrency else None,
            debounce=given_debounce.message() if given_debounce else None,
            throttle=given_throttle.message() if given_throttle else None,
            circuit_breaker=given_breaker.message() if given_breaker else None,
            cancel_on=cancels,
            actor_key=actor_key,
            run_key=key,
            if_running=if_running,
            priority=priority,
            on_code_change=on_code_change,
            secrets=[*secrets],
            labels=labels_of(labels),
            recording=recording or bool(recording_profile),
            recording_retention=recording_retention,
            recording_profile=recording_profile,
            pause_behavior=pause_behavior,
            preferred_mode=ExecutionMode(mode) if mode else None,
            endpoint_url=endpoint_url,
            push_budget_ms=_positive_ms(push_budget, "push_budget"),
            metadata={key: to_payload(value, f"metadata {key!r}") for key, value in (metadata or {}).items()},
        )
        step_timeout_ms = _positive_ms(step_timeout, "step_timeout")
    except InvalidFunction as fault:
        raise InvalidFunction(f"{where}: {fault}") from fault

    def define(handler: Handler) -> FunctionDefinition:
        data_parameter(handler, id)
        limit_s = step_timeout_ms / 1000 or None
        return FunctionDefinition(id, handler, settings, limit_s, schema, checkpoint, given_step_retry)

    return define


def labels_of(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Raises InvalidFunction unless names and values are texts."""
    given: dict[Any, Any] = dict(labels or {})
    check(all(isinstance(text, str) for pair in given.items() for text in pair), "labels are texts by name.")
    return given


def _positive_ms(span: Duration | None, name: str) -> int:
    """Milliseconds, 0 for None."""
    if span is None:
        return 0
    length_ms = span_ms(span, name)
    check(length_ms > 0, f"{name} is {span!r}; it is longer than nothing.")
    return length_ms
