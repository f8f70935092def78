"""What is decided of deletions: in which order tables are emptied, and when a deletion has ended."""

from typing import NamedTuple

from ironflow.base.time import Millis

# Requests that began before may still write for so long, as may nodes that know the environment's name a little longer.
SETTLED_MS = 6_000


class DeletionRow(NamedTuple):
    """id: of the environment. at_table: emptied next. rows_of_pass: removed since the first table. 0 is no time."""

    id: str
    name: str
    rows_as: str
    status: str
    at_table: str
    rows_removed: int
    rows_of_pass: int
    started_by: str
    started_at: Millis
    updated_at: Millis
    ended_at: Millis


class Child(NamedTuple):
    """A table without the environment. column: what refers to the parent. parent_column: the column referred to."""

    table: str
    column: str
    parent_column: str


# In this order. Named, not looked up: a schema may have tables of others with such a column.
TABLES = (
    # What begins work goes first; then what workers hold, so that their reports are refused before steps are removed.
    "functions",
    "schedules",
    "named_schedules",
    "schedule_backfills",
    "kept_ticks",
    "debounces",
    "webhook_sources",
    "jobs",
    "waits",
    "runs",
    "actors",
    "api_keys",
    "bulk_changes",
    "bulk_jobs",
    "consumer_groups",
    "endpoints",
    "entity_states",
    "event_schemas",
    "event_triggers",
    "events",
    "function_code_versions",
    "function_versions",
    "idempotency_keys",
    "kv_buckets",
    "kv_entries",
    "kv_purges",
    "messages",
    "projection_rebuilds",
    "projections",
    "redactions",
    "run_code_versions",
    "run_keys",
    "secret_data_keys",
    "secrets",
    "snapshots",
    "sql_generations",
    "sql_projection_tables",
    "sql_projections",
    "streams",
    "system_notices",
    "throttle_starts",
    "tick_runs",
    "topic_subscribers",
    "topics",
    "usage_days",
    "usage_totals",
    "wait_shapes",
    "webhook_deliveries",
    "workers",
)
# The rows of a parent's children are removed before it, in this order.
CHILDREN: dict[str, tuple[Child, ...]] = {
    "runs": (
        Child("timers", "run_id", "id"),
        Child("steps", "run_id", "id"),
        Child("facts", "run_id", "id"),
        Child("log_lines", "run_id", "id"),
        Child("run_values", "run_id", "id"),
    ),
    "consumer_groups": (
        Child("group_members", "group_id", "id"),
        Child("deliveries", "group_id", "id"),
        Child("dead_letters", "group_id", "id"),
    ),
    "projections": (Child("projection_states", "side", "side"),),
    "projection_rebuilds": (Child("projection_states", "side", "side"),),
}
# The chain of audit notes has every environment in it; a note that is removed would break it. Retention cuts it.
KEPT = ("audit_notes", "audit_refusals")


def table_after(table: str) -> str:
    """The next table; empty after the last."""
    at = TABLES.index(table) + 1
    return TABLES[at] if at < len(TABLES) else ""


def decide_end(deletion: DeletionRow, now: Millis) -> bool:
    """Whether a pass over all tables that ends now is the last: it found nothing, and nothing writes any more."""
    return deletion.rows_of_pass == 0 and now - deletion.started_at >= SETTLED_MS
