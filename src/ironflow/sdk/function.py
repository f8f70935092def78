"""`@function`: a handler with the settings under which the server runs it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec

from ironflow.base.duration import Duration
from ironflow.base.errors import ValidationError
from ironflow.features.functions.contract import ExecutionMode, InvalidFunction, RegisterFunction, Trigger
from ironflow.sdk.controls import (
    CancelOn,
    CircuitBreaker,
    Concurrency,
    Debounce,
    Retry,
    Throttle,
    check,
    control,
    span_ms,
)
from ironflow.sdk.handler import UNTYPED, Handler, code_hash, data_parameter, resolved
from ironflow.sdk.payload import Read, from_payload, reader_of, to_payload
from ironflow.sdk.triggers import Names, triggers_of

CODE_HASH = "__ironflow_code_hash"
_ID = re.compile(r"[^\s*>\x00-\x1f\x7f]{1,256}")
_RETENTIONS = ("7d", "30d", "90d", "forever")


@dataclass(frozen=True, eq=False)
class FunctionDefinition:
    """A function of a user's program. Calling it calls its handler, as tests do.

    registration: gives the message that tells the server of it.
    step_timeout_s: for steps that name none of their own; None for no limit.
    """

    id: str
    handler: Handler
    settings: RegisterFunction = field(repr=False)
    step_timeout_s: float | None = None
    schema: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.handler(*args, **kwargs)

    def registration(self, mode: ExecutionMode | None = None) -> RegisterFunction:
        """What the server is told; the handler's code hash makes a changed handler a new version.

        mode: how the function is hosted, where its settings do not say.
        """
        metadata = {**self.settings.metadata, CODE_HASH: to_payload(code_hash(self.handler), "the code hash")}
        return msgspec.structs.replace(
            self.settings, metadata=metadata, preferred_mode=self.settings.preferred_mode or mode
        )

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


def function(
    id: str,
    *,
    on: Names | None = None,
    cron: Names | None = None,
    tz: str = "",
    when: str = "",
    triggers: Sequence[Mapping[str, Any] | Trigger] | None = None,
    name: str = "",
    description: str = "",
    retry: Retry | Mapping[str, Any] | None = None,
    timeout: Duration | None = None,
    step_timeout: Duration | None = None,
    concurrency: Concurrency | Mapping[str, Any] | None = None,
    debounce: Debounce | Mapping[str, Any] | None = None,
    throttle: Throttle | Mapping[str, Any] | None = None,
    cancel_on: Sequence[CancelOn | Mapping[str, Any]] = (),
    circuit_breaker: CircuitBreaker | Mapping[str, Any] | None = None,
    actor_key: str = "",
    secrets: Sequence[str] = (),
    recording: bool = False,
    recording_retention: str = "",
    recording_profile: Literal["", "all", "run_lifecycle", "steps"] = "",
    pause_behavior: Literal["", "hold", "release"] = "",
    mode: Literal["", "pull", "push"] = "",
    metadata: Mapping[str, Any] | None = None,
    schema: Any = None,
) -> Callable[[Handler], FunctionDefinition]:
    """Makes a durable function of a handler `(ctx)` or `(ctx, data)`, async or not.

        @function("process-order", on="order.placed", retry=Retry(max_attempts=5))
        async def process_order(ctx, order: Order):
            return await ctx.step.run("charge", charge, order)

    on: event names or patterns; when: a CEL expression over the event, for all of them. cron: times, read in tz.
    triggers: the same as dicts with event, expression, cron, tz. Without any, the function runs only when invoked.
    timeout: for one execution; step_timeout: for each step that names none. Durations: text, seconds or timedelta.
    actor_key: a path in the event's data; runs with the same value go to the same worker, one after another.
    secrets: names that `ctx.secrets` may give. recording: keep history for time travel.
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
        check(not isinstance(secrets, str), "secrets is a list of names.")
        check(
            schema is None or not isinstance(schema, Mapping),
            "schema is a type, such as a struct or a model.",
        )
        given_retry, given_concurrency = control(Retry, retry), control(Concurrency, concurrency)
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
            triggers=triggers_of(on, cron, tz, when, triggers),
            retry=given_retry.message() if given_retry else None,
            timeout_ms=_positive_ms(timeout, "timeout"),
            concurrency=given_concurrency.message() if given_concurrency else None,
            debounce=given_debounce.message() if given_debounce else None,
            throttle=given_throttle.message() if given_throttle else None,
            circuit_breaker=given_breaker.message() if given_breaker else None,
            cancel_on=cancels,
            actor_key=actor_key,
            secrets=[*secrets],
            recording=recording or bool(recording_profile),
            recording_retention=recording_retention,
            recording_profile=recording_profile,
            pause_behavior=pause_behavior,
            preferred_mode=ExecutionMode(mode) if mode else None,
            metadata={key: to_payload(value, f"metadata {key!r}") for key, value in (metadata or {}).items()},
        )
        step_timeout_ms = _positive_ms(step_timeout, "step_timeout")
    except InvalidFunction as fault:
        raise InvalidFunction(f"{where}: {fault}") from fault

    def define(handler: Handler) -> FunctionDefinition:
        data_parameter(handler, id)
        return FunctionDefinition(id, handler, settings, step_timeout_ms / 1000 or None, schema)

    return define


def _positive_ms(span: Duration | None, name: str) -> int:
    """Milliseconds, 0 for None."""
    if span is None:
        return 0
    length_ms = span_ms(span, name)
    check(length_ms > 0, f"{name} is {span!r}; it is longer than nothing.")
    return length_ms
