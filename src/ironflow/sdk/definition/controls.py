"""How a function's runs are retried, limited, debounced and cancelled: the settings that users write.

Each control also comes as a dict with the same keys. Source: protocol/connectrpc.md 5.2, behaviour.md 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument
from ironflow.features.functions.contract import (
    ATTEMPTS_MAX,
    CancelOnSpec,
    CircuitBreakerConfig,
    ConcurrencyConfig,
    DebounceConfig,
    InvalidFunction,
    RetryConfig,
    ThrottleConfig,
)
from ironflow.sdk.values.event_names import check_matchable

SHORTEST_PERIOD_MS = 1000


def check(holds: bool, message: str) -> None:
    """Raises InvalidFunction with `message` unless it holds."""
    if not holds:
        raise InvalidFunction(message)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a run, or a step, is tried and how long it rests in between. What is not given is the default.

    max_attempts: counts the first one. The pause is initial_delay, then each time backoff_factor longer, to max_delay.
    on_exhausted: whether a run whose attempts are used up fails or is paused until it is resumed.
    retry_on: of a step's retry, the only classes of exceptions after which it is tried again.
    """

    max_attempts: int | None = None
    initial_delay: Duration | None = None
    backoff_factor: float | None = None
    max_delay: Duration | None = None
    on_exhausted: Literal["fail", "pause"] | None = None
    retry_on: Sequence[type[BaseException]] = ()

    def __post_init__(self) -> None:
        check(
            self.max_attempts is None or _is_count(self.max_attempts, 1),
            f"retry: max_attempts is {self.max_attempts!r}; it counts the first attempt, so 1 is the least.",
        )
        check(
            (self.max_attempts or 0) <= ATTEMPTS_MAX,
            f"retry: max_attempts is {self.max_attempts!r}; {ATTEMPTS_MAX} is the most.",
        )
        factor = self.backoff_factor
        check(
            factor is None or (isinstance(factor, int | float) and math.isfinite(factor) and factor >= 1),
            f"retry: backoff_factor is {factor!r}; write a number of at least 1.",
        )
        check(
            self.on_exhausted in (None, "fail", "pause"),
            f"retry: on_exhausted is {self.on_exhausted!r}; write 'fail' or 'pause'.",
        )
        check(
            not isinstance(self.retry_on, str)
            and all(isinstance(each, type) and issubclass(each, BaseException) for each in self.retry_on),
            f"retry: retry_on is {self.retry_on!r}; write a list of exception classes.",
        )
        initial_ms, max_ms = _span_ms(self.initial_delay, "retry"), _span_ms(self.max_delay, "retry")
        check(
            not (initial_ms and max_ms) or initial_ms <= max_ms,
            f"retry: initial_delay {self.initial_delay!r} is longer than max_delay {self.max_delay!r}.",
        )

    def message(self) -> RetryConfig:
        return RetryConfig(
            max_attempts=self.max_attempts or 0,
            initial_delay_ms=_span_ms(self.initial_delay, "retry"),
            backoff_factor=float(self.backoff_factor or 0),
            max_delay_ms=_span_ms(self.max_delay, "retry"),
            on_exhausted=self.on_exhausted or "",
        )


def check_step_retry(retry: Retry) -> None:
    """Raises InvalidFunction for the retry of a step that has a setting of a run's."""
    check(
        retry.on_exhausted is None,
        "retry: on_exhausted is of a function's retry; a step that has used up its attempts raises StepError.",
    )


def check_run_retry(retry: Retry) -> None:
    """Raises InvalidFunction for the retry of a function that has a setting of a step's."""
    check(not retry.retry_on, "retry: retry_on is of a step's retry: step_retry=, or retry= of a step.")


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` runs at a time, for each value of `key` if that is given; the others wait.

    key: a path in the event's data, such as `customerId`. scope: the name of a limit that functions share.
    hold: `execution`, a slot is held while the run is executed; `run`, from its first execution to its end, over waits,
    sleeps, invokes and retries.
    """

    limit: int
    key: str = ""
    scope: str = ""
    hold: Literal["execution", "run"] = "execution"

    def __post_init__(self) -> None:
        check(_is_count(self.limit, 1), f"concurrency: limit is {self.limit!r}; write a number of at least 1.")
        check(self.hold in ("execution", "run"), f"concurrency: hold is {self.hold!r}; write 'execution' or 'run'.")

    def message(self) -> ConcurrencyConfig:
        hold = "" if self.hold == "execution" else self.hold
        return ConcurrencyConfig(limit=self.limit, key=self.key, scope=self.scope, hold=hold)


@dataclass(frozen=True, slots=True)
class Debounce:
    """Events that follow each other within `period` start one run, with the last one's data.

    max_wait: a run starts at the latest this long after the first event. key: a path; each value is counted apart.
    """

    period: Duration
    key: str = ""
    max_wait: Duration | None = None

    def __post_init__(self) -> None:
        period_ms, max_wait_ms = _span_ms(self.period, "debounce"), _span_ms(self.max_wait, "debounce")
        check(period_ms >= SHORTEST_PERIOD_MS, f"debounce: period is {self.period!r}; 1s is the least.")
        check(
            not max_wait_ms or max_wait_ms >= period_ms,
            f"debounce: max_wait {self.max_wait!r} is shorter than period {self.period!r}.",
        )

    def message(self) -> DebounceConfig:
        return DebounceConfig(
            period_ms=_span_ms(self.period, "debounce"), key=self.key, max_wait_ms=_span_ms(self.max_wait, "debounce")
        )


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most `limit` runs start in each `period`, for each value of `key` if that is given; the others wait."""

    limit: int
    period: Duration
    key: str = ""

    def __post_init__(self) -> None:
        check(_is_count(self.limit, 1), f"throttle: limit is {self.limit!r}; write a number of at least 1.")
        check(
            _span_ms(self.period, "throttle") >= SHORTEST_PERIOD_MS,
            f"throttle: period is {self.period!r}; 1s is the least.",
        )

    def message(self) -> ThrottleConfig:
        return ThrottleConfig(limit=self.limit, period_ms=_span_ms(self.period, "throttle"), key=self.key)


@dataclass(frozen=True, slots=True)
class CancelOn:
    """A run is cancelled by an `event` with the same value at path `match` as the event that started the run."""

    event: str
    match: str

    def __post_init__(self) -> None:
        for name, text in (("event", self.event), ("match", self.match)):
            check(isinstance(text, str) and text.strip() != "", f"cancel_on: {name} is empty.")
        try:
            check_matchable(self.event)
        except InvalidArgument as fault:
            raise InvalidFunction(f"cancel_on: {fault}") from fault

    def message(self) -> CancelOnSpec:
        return CancelOnSpec(event=self.event, match=self.match)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """When a pushed function's endpoint keeps failing, it is left alone for a while. None: the server's default."""

    failure_threshold: int | None = None
    open_duration: Duration | None = None
    max_open_duration: Duration | None = None

    def __post_init__(self) -> None:
        check(
            self.failure_threshold is None or _is_count(self.failure_threshold, 1),
            f"circuit_breaker: failure_threshold is {self.failure_threshold!r}; write a number of at least 1.",
        )
        _span_ms(self.open_duration, "circuit_breaker")
        _span_ms(self.max_open_duration, "circuit_breaker")

    def message(self) -> CircuitBreakerConfig:
        return CircuitBreakerConfig(
            failure_threshold=self.failure_threshold or 0,
            open_duration_ms=_span_ms(self.open_duration, "circuit_breaker"),
            max_open_duration_ms=_span_ms(self.max_open_duration, "circuit_breaker"),
        )


Control = TypeVar("Control", Retry, Concurrency, Debounce, Throttle, CancelOn, CircuitBreaker)


def control(kind: type[Control], given: Control | Mapping[str, Any] | None) -> Control | None:
    """`given` as a control: itself, or made of a dict with the same keys. Raises InvalidFunction."""
    if given is None or isinstance(given, kind):
        return given
    label = kind.__name__
    if not isinstance(given, Mapping):
        raise InvalidFunction(f"{given!r} is no {label}. Write {label}(...) or a dict with its settings.")
    known = [each.name for each in fields(kind)]
    unknown = sorted(given.keys() - set(known))
    check(not unknown, f"{label} has no setting {', '.join(unknown)}; it has {', '.join(known)}.")
    try:
        return kind(**given)
    except TypeError as fault:
        raise InvalidFunction(f"{label} {dict(given)!r} is not complete: {fault}") from fault


def _span_ms(span: Duration | None, where: str) -> int:
    return 0 if span is None else span_ms(span, where)


def span_ms(span: Duration, where: str) -> int:
    """Milliseconds in a duration. Raises InvalidFunction naming the setting for what is no duration."""
    try:
        return duration_ms(span)
    except (InvalidArgument, TypeError) as fault:
        raise InvalidFunction(f"{where}: {fault}") from fault
