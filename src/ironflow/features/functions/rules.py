"""What is decided about functions; pure. Source: protocol/worker-rest.md 3, protocol/connectrpc.md 5.2."""

import re
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec.structs import asdict

from ironflow.base.cel import expression
from ironflow.base.cron import check_cron
from ironflow.base.errors import IronflowError
from ironflow.base.pattern import compiled, is_pattern
from ironflow.base.time import Millis, to_datetime
from ironflow.engine.model import Policy
from ironflow.features.functions.contract import (
    CancelOnSpec,
    CircuitBreakerConfig,
    ConcurrencyConfig,
    DebounceConfig,
    ExecutionMode,
    Function,
    FunctionStatus,
    InvalidFunction,
    RegisterFunction,
    RetryConfig,
    ThrottleConfig,
    Trigger,
)
from ironflow.features.functions.recording import check_recording

CODE_HASH = "__ironflow_code_hash"
ID_BYTES_MAX = 256
CONFIG_BYTES_MAX = 256 * 1024
DEBOUNCE_MS_MIN = 1_000
_FORBIDDEN_IN_ID = re.compile(r"[\s\x00-\x1f\x7f*>]")


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """A registration as it is kept and compared: everything a version of a function is made of."""

    name: str = ""
    description: str = ""
    triggers: list[Trigger] = []
    retry: RetryConfig | None = None
    timeout_ms: int = 0
    concurrency: ConcurrencyConfig | None = None
    preferred_mode: str = "pull"
    endpoint_url: str = ""
    actor_key: str = ""
    secrets: list[str] = []
    recording: bool = False
    recording_retention: str = ""
    recording_profile: str = ""
    pause_behavior: str = ""
    metadata: dict[str, object] = {}
    debounce: DebounceConfig | None = None
    throttle: ThrottleConfig | None = None
    circuit_breaker: CircuitBreakerConfig | None = None
    cancel_on: list[CancelOnSpec] = []
    compensate_on_cancel: bool = False


read_config = msgspec.json.Decoder(Config).decode


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A function as it is kept. status: active, paused, archived or deleted. epoch: when it last changed, counted."""

    environment: str
    id: str
    version: int
    status: str
    config: Config
    code_hash: str
    epoch: int
    created_at: Millis
    updated_at: Millis


Change = Literal["created", "updated", "same"]


def check_function_id(function_id: str) -> None:
    """Raises InvalidFunction. Slashes are legal: `fraud/evaluate`."""
    if not function_id or len(function_id.encode()) > ID_BYTES_MAX or _FORBIDDEN_IN_ID.search(function_id):
        raise InvalidFunction(
            f"{function_id[:60]!r} is no function id: write 1 to {ID_BYTES_MAX} bytes without spaces, `*` or `>`."
        )


def config_of(request: RegisterFunction) -> Config:
    """The configuration that a registration asks for. Raises InvalidFunction saying what is wrong with it.

    An absent mode is push with an endpoint_url, else pull.
    """
    check_function_id(request.id)
    for place, trigger in enumerate(request.triggers):
        _check_trigger(place, trigger)
    _check_retry(request.retry)
    check_recording(request.recording_profile, request.recording_retention)
    if request.debounce is not None and request.debounce.period_ms:
        if request.debounce.period_ms < DEBOUNCE_MS_MIN:
            raise InvalidFunction(
                f"debounce.period_ms is {request.debounce.period_ms}; {DEBOUNCE_MS_MIN} is the least."
            )
        if request.debounce.max_wait_ms and request.debounce.max_wait_ms < request.debounce.period_ms:
            raise InvalidFunction("debounce.max_wait_ms is less than debounce.period_ms.")
    mode = request.preferred_mode or (ExecutionMode.PUSH if request.endpoint_url else ExecutionMode.PULL)
    if mode is ExecutionMode.PUSH and not request.endpoint_url:
        raise InvalidFunction("The mode is push but there is no endpoint_url to push to.")
    config = Config(
        name=request.name or request.id,
        description=request.description,
        triggers=request.triggers,
        retry=request.retry,
        timeout_ms=request.timeout_ms,
        concurrency=request.concurrency,
        preferred_mode=mode.value,
        endpoint_url=request.endpoint_url,
        actor_key=request.actor_key,
        secrets=request.secrets,
        recording=request.recording,
        recording_retention=request.recording_retention,
        recording_profile=request.recording_profile,
        pause_behavior=request.pause_behavior,
        metadata=dict(request.metadata),
        debounce=request.debounce,
        throttle=request.throttle,
        circuit_breaker=request.circuit_breaker,
        cancel_on=request.cancel_on,
        compensate_on_cancel=request.compensate_on_cancel,
    )
    text = msgspec.json.encode(config)
    if len(text) > CONFIG_BYTES_MAX:
        raise InvalidFunction(f"The configuration is {len(text)} bytes; {CONFIG_BYTES_MAX} is the limit.")
    # As it will be read back, so that two registrations compare as what is kept of them.
    return read_config(text)


def _check_trigger(place: int, trigger: Trigger) -> None:
    where = f"triggers[{place}]"
    if not trigger.event and not trigger.cron:
        raise InvalidFunction(f"{where} has neither an event nor a cron expression.")
    try:
        if trigger.event and is_pattern(trigger.event):
            compiled(trigger.event)
        if trigger.expression:
            expression(trigger.expression)
        if trigger.cron:
            check_cron(trigger.cron, trigger.timezone)
    except IronflowError as fault:
        raise InvalidFunction(f"{where}: {fault.message}") from None


def _check_retry(retry: RetryConfig | None) -> None:
    if retry is not None and retry.on_exhausted not in ("", "fail", "pause"):
        raise InvalidFunction(f"retry.on_exhausted is {retry.on_exhausted!r}; write fail or pause.")


def decide_registration(known: FunctionRow | None, config: Config) -> Change:
    """Whether a registration makes a function, a new version of it, or nothing new."""
    if known is None or known.status == "deleted":
        return "created"
    same = msgspec.json.encode(known.config) == msgspec.json.encode(config)
    return "same" if same else "updated"


def is_meant(function: FunctionRow, name: str, mode: str) -> bool:
    """Whether a filter means the function. name: a part of its id or name, in any case; mode: push or pull."""
    part = name.lower()
    named = part in function.id.lower() or part in function.config.name.lower()
    return named and mode.lower().removeprefix("execution_mode_") in ("", function.config.preferred_mode)


def policy_of(config: Config, defaults: Policy) -> Policy:
    """The policy of a new run: what the function says, else the server's defaults. 0 and empty mean unsaid."""
    retry = config.retry or RetryConfig()
    return Policy(
        max_attempts=retry.max_attempts or defaults.max_attempts,
        initial_delay_ms=retry.initial_delay_ms or defaults.initial_delay_ms,
        backoff_factor=retry.backoff_factor or defaults.backoff_factor,
        max_delay_ms=retry.max_delay_ms or defaults.max_delay_ms,
        on_exhausted="pause" if (retry.on_exhausted or defaults.on_exhausted) == "pause" else "fail",
        timeout_ms=config.timeout_ms or defaults.timeout_ms,
    )


def code_hash_of(config: Config) -> str:
    value = config.metadata.get(CODE_HASH)
    return value if isinstance(value, str) else ""


def function_message(row: FunctionRow, next_at: Millis | None = None) -> Function:
    """The function as clients see it. next_at: its next cron tick."""
    config = row.config
    shown = {
        name: value for name, value in asdict(config).items() if name not in ("secrets", "preferred_mode", "metadata")
    }
    function = msgspec.convert(
        {"id": row.id, "created_at": to_datetime(row.created_at), "updated_at": to_datetime(row.updated_at), **shown},
        Function,
        from_attributes=True,
    )
    function.preferred_mode = ExecutionMode(config.preferred_mode)
    function.status = FunctionStatus.ARCHIVED if row.status == "deleted" else FunctionStatus(row.status)
    function.version = row.version
    function.next_run = to_datetime(next_at) if next_at is not None else None
    function.code_hash = row.code_hash
    function.metadata = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in config.metadata.items()}
    return function
