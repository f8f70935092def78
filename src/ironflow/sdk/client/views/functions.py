"""Functions."""

from datetime import datetime
from typing import Any

from ironflow.features.functions.contract import (
    CancelOnSpec,
    CircuitBreakerConfig,
    ConcurrencyConfig,
    DebounceConfig,
    EntityConfig,
    ExecutionMode,
    FunctionStatus,
    RetryConfig,
    ThrottleConfig,
    Trigger,
)
from ironflow.sdk.client.views.base import View


class Function(View, kw_only=True, frozen=True):
    """A registered function. version rises when its configuration changes.

    warnings: settings that were taken and have no effect, such as a trigger that no event can ever fire.
    """

    id: str
    name: str
    description: str = ""
    triggers: list[Trigger] = []
    retry: RetryConfig | None = None
    timeout_ms: int = 0
    concurrency: ConcurrencyConfig | None = None
    preferred_mode: ExecutionMode = ExecutionMode.PULL
    endpoint_url: str = ""
    actor_key: str = ""
    status: FunctionStatus = FunctionStatus.ACTIVE
    version: int = 1
    created_at: datetime
    updated_at: datetime
    recording: bool = False
    recording_retention: str = ""
    pause_behavior: str = ""
    metadata: dict[str, Any] = {}
    debounce: DebounceConfig | None = None
    compensate_on_cancel: bool = False
    cancel_on: list[CancelOnSpec] = []
    recording_profile: str = ""
    next_run: datetime | None = None
    circuit_breaker: CircuitBreakerConfig | None = None
    throttle: ThrottleConfig | None = None
    code_hash: str = ""
    compensation_timeout_ms: int = 0
    labels: dict[str, str] = {}
    push_budget_ms: int = 0
    push_checkpoints: bool = False
    run_key: str = ""
    if_running: str = ""
    on_code_change: str = ""
    priority: str = ""
    entity: EntityConfig | None = None
    warnings: list[str] = []


class Registered(View, kw_only=True, frozen=True):
    """A function as the server keeps it; created: whether it is new there."""

    function: Function
    created: bool
