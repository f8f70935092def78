"""What other features do with runs inside their own transactions."""

from ironflow.features.runs.chains import last_id, load_last, load_named, look_last, look_named, restarted_text
from ironflow.features.runs.claims import Claims
from ironflow.features.runs.creation import Creation, Lineage, creation, watches_of
from ironflow.features.runs.deleting import RunDeletion
from ironflow.features.runs.following import child_ended, due_command, event_text
from ironflow.features.runs.inheriting import Inheritance
from ironflow.features.runs.live import LiveStep, LiveSteps
from ironflow.features.runs.messages import cancel_requested, error_message, step_message
from ironflow.features.runs.notices import RunChanges, StepsStarted
from ironflow.features.runs.queries import Filter, Searched, count_active, count_by_status, count_some, search
from ironflow.features.runs.redacting import (
    StepKey,
    change_facts,
    replace_payloads,
    replace_steps,
    waits_ended_by,
    whole_steps,
)
from ironflow.features.runs.repository import INVOKED, RunRepository, gather, taken
from ironflow.features.runs.rules import (
    advice,
    check_ended,
    is_cancelling,
    is_replayed,
    output_filter,
    pause_reason,
    run_id_of_step,
    shown_state,
    shown_status,
    shown_step_status,
    status_filter,
    step_row_id,
)
from ironflow.features.runs.statistics import (
    RunNumbers,
    Started,
    failed_runs,
    functions_of,
    newest_runs,
    started_before,
    stuck_runs,
    unfinished_by_version,
    unfinished_counts,
)
from ironflow.features.runs.store import delete_leases, look
from ironflow.features.runs.unit_of_work import Change, job_key, revoked_key
from ironflow.features.runs.values import StoredValue
from ironflow.features.runs.values import drop_all as drop_values
from ironflow.features.runs.values import news as new_values
from ironflow.features.runs.values import of_run as values_of
from ironflow.features.runs.values import one as value_of

__all__ = [
    "INVOKED",
    "Change",
    "Claims",
    "Creation",
    "Filter",
    "Inheritance",
    "Lineage",
    "LiveStep",
    "LiveSteps",
    "RunChanges",
    "RunDeletion",
    "RunNumbers",
    "RunRepository",
    "Searched",
    "Started",
    "StepKey",
    "StepsStarted",
    "StoredValue",
    "advice",
    "cancel_requested",
    "change_facts",
    "check_ended",
    "child_ended",
    "count_active",
    "count_by_status",
    "count_some",
    "creation",
    "delete_leases",
    "drop_values",
    "due_command",
    "error_message",
    "event_text",
    "failed_runs",
    "functions_of",
    "gather",
    "is_cancelling",
    "is_replayed",
    "job_key",
    "last_id",
    "load_last",
    "load_named",
    "look",
    "look_last",
    "look_named",
    "new_values",
    "newest_runs",
    "output_filter",
    "pause_reason",
    "replace_payloads",
    "replace_steps",
    "restarted_text",
    "revoked_key",
    "run_id_of_step",
    "search",
    "shown_state",
    "shown_status",
    "shown_step_status",
    "started_before",
    "status_filter",
    "step_message",
    "step_row_id",
    "stuck_runs",
    "taken",
    "unfinished_by_version",
    "unfinished_counts",
    "value_of",
    "values_of",
    "waits_ended_by",
    "watches_of",
    "whole_steps",
]
