"""What other features ask of jobs and workers inside their own transactions."""

from ironflow.features.jobs.assignments import assignment
from ironflow.features.jobs.claiming import Claims, Holder
from ironflow.features.jobs.report_rules import report_of, with_trigger_value
from ironflow.features.jobs.rules import (
    NO_CHANNEL,
    Channel,
    LeaseSight,
    Timing,
    WorkerRow,
    check_incarnation,
    missing_labels,
    run_id_of,
)
from ironflow.features.jobs.store import (
    actor_worker,
    count_live,
    queue,
    ready_at_endpoint,
    ready_of,
    serving,
    unfinished_by,
)

__all__ = [
    "NO_CHANNEL",
    "Channel",
    "Claims",
    "Holder",
    "LeaseSight",
    "Timing",
    "WorkerRow",
    "actor_worker",
    "assignment",
    "check_incarnation",
    "count_live",
    "missing_labels",
    "queue",
    "ready_at_endpoint",
    "ready_of",
    "report_of",
    "run_id_of",
    "serving",
    "unfinished_by",
    "with_trigger_value",
]
