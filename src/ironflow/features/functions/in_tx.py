"""What other features read of functions inside their own transactions."""

from ironflow.features.functions.index import FunctionIndex, PushTarget, Startable, startable
from ironflow.features.functions.rules import (
    Config,
    FunctionRow,
    check_endpoint,
    config_of,
    decide_registration,
    is_push,
)
from ironflow.features.functions.schedules import Schedule, due_schedules, move_schedule, next_schedule_at, tick_after
from ironflow.features.functions.store import Retention, VersionRow, code_hash, count, function, retentions, versions

__all__ = [
    "Config",
    "FunctionIndex",
    "FunctionRow",
    "PushTarget",
    "Retention",
    "Schedule",
    "Startable",
    "VersionRow",
    "check_endpoint",
    "code_hash",
    "config_of",
    "count",
    "decide_registration",
    "due_schedules",
    "function",
    "is_push",
    "move_schedule",
    "next_schedule_at",
    "retentions",
    "startable",
    "tick_after",
    "versions",
]
