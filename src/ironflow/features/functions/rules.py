"""What is decided about functions; pure. Source: protocol/worker-rest.md 3, protocol/connectrpc.md 5.2."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import asdict

from ironflow.base.cel import expression
from ironflow.base.cron import check_cron
from ironflow.base.entity_streams import NAME, scope_of_entity, state_event
from ironflow.base.errors import IronflowError
from ironflow.base.overlap import check_overlap
from ironflow.base.pattern import compiled, has_empty_token, is_pattern, without_empty_tokens
from ironflow.base.run_keys import check_if_running
from ironflow.base.time import Millis, to_datetime
from ironflow.engine.model import Policy
from ironflow.features.code_versions.in_tx import OnCodeChange
from ironflow.features.functions.contract import (
    ATTEMPTS_MAX,
    CancelOnSpec,
    CircuitBreakerConfig,
    ConcurrencyConfig,
    DebounceConfig,
    EntityConfig,
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
ENDPOINT_MAX = 2_000
DEBOUNCE_MS_MIN = 1_000
_SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# Source: protocol/errors-and-defaults.md 2, "Newer only".
THROTTLE_MS_MIN = 1_000
_FORBIDDEN_IN_ID = re.compile(r"[\s\x00-\x1f\x7f*>]")


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """A registration as it is stored and compared: everything a version of a function is made of."""

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
    compensation_timeout_ms: int = 0
    labels: dict[str, str] = {}
    push_budget_ms: int = 0
    push_checkpoints: bool = False
    run_key: str = ""
    if_running: str = ""
    priority: str = ""
    on_code_change: OnCodeChange = ""
    entity: EntityConfig | None = None


read_config = msgspec.json.Decoder(Config).decode


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A function as it is stored. status: active, paused, archived or deleted. epoch: when it last changed, counted."""

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
    if not all(function_id.split(".")):
        raise InvalidFunction(f"{function_id[:60]!r} is no function id: nothing stands before, after or between dots.")


def warnings_of(config: Config) -> list[str]:
    """What is registered and has no effect: events with an empty part in their names are refused everywhere.

    Existing clients register such names, and fail when they are refused.
    """
    triggers = [("trigger", each.event) for each in config.triggers]
    cancels = [("cancel_on", each.event) for each in config.cancel_on]
    return [
        f"{kind} {event!r} never matches: no event's name has an empty part. Write {without_empty_tokens(event)!r}."
        for kind, event in [*triggers, *cancels]
        if event and has_empty_token(event)
    ]


def config_of(request: RegisterFunction) -> Config:
    """The configuration that a registration asks for. Raises InvalidFunction saying what is wrong with it.

    The mode is pull unless there is an endpoint_url: some clients ask for push for the functions of their workers. With
    one, an absent mode is push. Source: protocol/connectrpc.md 4, "preferredMode".
    """
    check_function_id(request.id)
    for number, trigger in enumerate(request.triggers):
        _check_trigger(number, trigger)
    _check_retry(request.retry)
    _check_controls(request)
    check_recording(request.recording_profile, request.recording_retention)
    if request.debounce is not None and request.debounce.period_ms:
        if request.debounce.period_ms < DEBOUNCE_MS_MIN:
            raise InvalidFunction(
                f"debounce.period_ms is {request.debounce.period_ms}; {DEBOUNCE_MS_MIN} is the least."
            )
        if request.debounce.max_wait_ms and request.debounce.max_wait_ms < request.debounce.period_ms:
            raise InvalidFunction("debounce.max_wait_ms is less than debounce.period_ms.")
    if request.endpoint_url:
        check_endpoint(request.endpoint_url)
    mode = (request.preferred_mode or ExecutionMode.PUSH) if request.endpoint_url else ExecutionMode.PULL
    config = Config(
        name=request.name or request.id,
        description=request.description,
        triggers=request.triggers,
        retry=request.retry,
        timeout_ms=request.timeout_ms,
        concurrency=_limit_of(request.entity) if request.entity is not None else request.concurrency,
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
        compensation_timeout_ms=request.compensation_timeout_ms,
        labels=request.labels,
        push_budget_ms=request.push_budget_ms,
        push_checkpoints=request.push_checkpoints,
        run_key=request.run_key,
        if_running=request.if_running,
        priority=request.priority,
        on_code_change=_on_code_change(request),
        entity=request.entity,
    )
    text = msgspec.json.encode(config)
    if len(text) > CONFIG_BYTES_MAX:
        raise InvalidFunction(f"The configuration is {len(text)} bytes; {CONFIG_BYTES_MAX} is the limit.")
    # As it will be read back, so that two registrations compare as what is kept of them.
    return read_config(text)


def _check_trigger(number: int, trigger: Trigger) -> None:
    where = f"triggers[{number}]"
    if not trigger.event and not trigger.cron:
        raise InvalidFunction(f"{where} has neither an event nor a cron expression.")
    try:
        if trigger.event and is_pattern(trigger.event):
            compiled(trigger.event)
        if trigger.expression:
            expression(trigger.expression)
        if trigger.cron:
            check_cron(trigger.cron, trigger.timezone)
        check_overlap(trigger.overlap)
    except IronflowError as fault:
        raise InvalidFunction(f"{where}: {fault.message}") from None
    if trigger.overlap and not trigger.cron:
        raise InvalidFunction(f"{where} has an overlap and no cron expression; an event starts a run whatever runs.")


def check_endpoint(url: str) -> None:
    """Raises InvalidFunction for what is no address of an endpoint.

    Whether it may be called is decided when it is called: names change what they resolve to.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(url) > ENDPOINT_MAX or any(ord(each) <= 32 for each in url):
        raise InvalidFunction(f"endpoint_url is {url[:80]!r}; write it like https://shop.example/api/ironflow.")


def _check_retry(retry: RetryConfig | None) -> None:
    if retry is not None and retry.max_attempts > ATTEMPTS_MAX:
        raise InvalidFunction(f"retry.max_attempts is {retry.max_attempts}; {ATTEMPTS_MAX} is the most.")
    if retry is not None and retry.on_exhausted not in ("", "fail", "pause"):
        raise InvalidFunction(f"retry.on_exhausted is {retry.on_exhausted!r}; write fail or pause.")


def _check_controls(request: RegisterFunction) -> None:
    if request.pause_behavior not in ("", "hold", "release"):
        raise InvalidFunction(f"pause_behavior is {request.pause_behavior[:40]!r}; write hold or release.")
    if request.concurrency is not None and not request.concurrency.limit:
        raise InvalidFunction("concurrency.limit is 0; write a number of at least 1, or leave concurrency out.")
    throttle = request.throttle
    # One without anything is what clients send that set none.
    if throttle is not None and (throttle.limit or throttle.period_ms):
        if not throttle.limit:
            raise InvalidFunction("throttle.limit is 0; write a number of at least 1, or leave throttle out.")
        if throttle.period_ms < THROTTLE_MS_MIN:
            raise InvalidFunction(f"throttle.period_ms is {throttle.period_ms}; {THROTTLE_MS_MIN} is the least.")
    if "" in request.secrets:
        raise InvalidFunction("secrets has an empty name; write the names of the secrets that the function reads.")
    _check_run_key(request)
    _check_priority(request.priority)
    _check_slots(request)
    _check_entity(request)
    for number, spec in enumerate(request.cancel_on):
        for name, text in (("event", spec.event), ("match", spec.match)):
            if not text.strip():
                raise InvalidFunction(
                    f"cancel_on[{number}] has no {name}; write the event's name, and as match the path whose value is "
                    "the same in both events."
                )


def _on_code_change(request: RegisterFunction) -> OnCodeChange:
    """Raises InvalidFunction."""
    match request.on_code_change:
        case "pin" if request.endpoint_url:
            raise InvalidFunction("on_code_change is pin, but an endpoint has one version at a time; write warn.")
        case "" | "continue" | "warn" | "pause" | "pin" as change:
            return change
        case other:
            raise InvalidFunction(f"on_code_change is {other[:40]!r}; it is continue, warn, pause or pin.")


def _check_run_key(request: RegisterFunction) -> None:
    try:
        check_if_running(request.if_running)
        if request.if_running and not request.run_key:
            raise InvalidFunction("if_running is set, but there is no run_key: write a CEL expression over the event.")
        if request.run_key and not expression(request.run_key).is_cheap:
            raise InvalidFunction("run_key has patterns or macros; write one that reads fields, such as data.orderId.")
    except InvalidFunction:
        raise
    except IronflowError as fault:
        raise InvalidFunction(f"run_key: {fault.message}") from None


def _check_priority(source: str) -> None:
    try:
        if source and not expression(source).is_cheap:
            raise InvalidFunction("priority has patterns or macros; write one that reads and compares fields.")
    except InvalidFunction:
        raise
    except IronflowError as fault:
        raise InvalidFunction(f"priority: {fault.message}") from None


def _check_slots(request: RegisterFunction) -> None:
    limit = request.concurrency
    if limit is None:
        return
    if limit.hold not in ("", "execution", "run"):
        raise InvalidFunction(f"concurrency.hold is {limit.hold[:40]!r}; write execution or run.")
    if limit.scope and not _SCOPE.fullmatch(limit.scope):
        raise InvalidFunction(
            f"concurrency.scope is {limit.scope[:60]!r}; write 1 to 128 letters, digits, `_`, `-` or `.`."
        )
    if request.actor_key and (limit.scope or limit.hold == "run"):
        raise InvalidFunction(
            "actor_key excludes concurrency.scope and concurrency.hold: an actor is a limit of its own."
        )
    if limit.hold == "run" and request.pause_behavior == "release":
        raise InvalidFunction("pause_behavior is release, and concurrency.hold keeps the slot of a paused run.")


def _check_entity(request: RegisterFunction) -> None:
    entity = request.entity
    if entity is None:
        return
    if not NAME.fullmatch(entity.name):
        raise InvalidFunction(f"entity.name is {entity.name[:60]!r}; write 1 to 64 letters, digits, `_`, `-` or `.`.")
    if not entity.key.strip():
        raise InvalidFunction("entity.key is empty; write the path of the key in the event's data, such as orderId.")
    if entity.access not in ("", "write", "read"):
        raise InvalidFunction(f"entity.access is {entity.access[:40]!r}; write write or read.")
    if request.endpoint_url and not request.push_checkpoints:
        raise InvalidFunction(
            "The endpoint of a handler of an entity has push_checkpoints: others are not given its state. Serve it "
            "with ironflow.serve and register it with `ironflow register`, or run it on a worker."
        )
    if request.concurrency is not None or request.actor_key or request.priority:
        raise InvalidFunction(
            "entity excludes concurrency, actor_key and priority: its handlers run one at a time, in order of arrival."
        )
    if request.pause_behavior == "release":
        raise InvalidFunction("pause_behavior is release, and a paused handler keeps its entity from the others.")
    changed = state_event(entity.name)
    for trigger in request.triggers:
        if trigger.event and compiled(trigger.event).fullmatch(changed):
            raise InvalidFunction(f"The handler would start itself: {trigger.event!r} matches its own {changed!r}.")


def _limit_of(entity: EntityConfig) -> ConcurrencyConfig | None:
    """The limit by which the handlers of one key run one at a time, over their waits; None for a reader."""
    if entity.access == "read":
        return None
    return ConcurrencyConfig(limit=1, key=entity.key, scope=scope_of_entity(entity.name), hold="run")


def is_push(function: FunctionRow) -> bool:
    """Whether the function is executed at its endpoint, and not by workers."""
    return function.config.preferred_mode == ExecutionMode.PUSH


def decide_registration(known: FunctionRow | None, config: Config) -> Change:
    """Whether a registration makes a function, a new version of it, or nothing new."""
    if known is None or known.status == "deleted":
        return "created"
    same = msgspec.json.encode(known.config) == msgspec.json.encode(config)
    return "same" if same else "updated"


def is_selected(function: FunctionRow, name: str, mode: str) -> bool:
    """Whether a filter means the function. name: a part of its id or name, in any case; mode: push or pull."""
    part = name.lower()
    named = part in function.id.lower() or part in function.config.name.lower()
    return named and mode.lower().removeprefix("execution_mode_") in ("", function.config.preferred_mode)


def policy_of(config: Config, defaults: Policy) -> Policy:
    """The policy of a new run: what the function says, else the server's defaults. 0 and empty mean unsaid."""
    retry = config.retry or RetryConfig()
    compensation_ms = _compensation_ms(config)
    return Policy(
        max_attempts=retry.max_attempts or defaults.max_attempts,
        initial_delay_ms=retry.initial_delay_ms or defaults.initial_delay_ms,
        backoff_factor=retry.backoff_factor or defaults.backoff_factor,
        max_delay_ms=retry.max_delay_ms or defaults.max_delay_ms,
        on_exhausted="pause" if (retry.on_exhausted or defaults.on_exhausted) == "pause" else "fail",
        timeout_ms=config.timeout_ms or defaults.timeout_ms,
        compensation_timeout_ms=compensation_ms,
        compensates_on_cancel=config.compensate_on_cancel and compensation_ms > 0,
    )


def _compensation_ms(config: Config) -> int:
    """How long an execution for compensations may take; 0 without one: hosts of existing clients cannot run it."""
    ours = config.preferred_mode != ExecutionMode.PUSH or config.push_checkpoints
    return config.compensation_timeout_ms if ours else 0


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
    function.warnings = warnings_of(config)
    function.metadata = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in config.metadata.items()}
    return function
