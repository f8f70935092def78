"""What is remembered of bulk jobs: the filter, and how far they have come."""

from typing import NamedTuple

import msgspec

from ironflow.base.time import Millis
from ironflow.features.runs.in_tx import Filter
from ironflow.storage.port import Row, Tx


class Job(NamedTuple):
    """status: running, done, stopped or dry_run. cursor: the last run id reached; runs are reached newest first."""

    id: str
    environment: str
    action: str
    wanted: Filter
    reason: str
    status: str
    cursor: str
    matched: int
    changed: int
    refused: int
    created_at: Millis
    updated_at: Millis
    force: bool = False
    undoes: str = ""
    more: bool = False


_COLUMNS = ", ".join(Job._fields)
_decode = msgspec.json.Decoder(Filter).decode

INSERT = f"INSERT INTO bulk_jobs ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in Job._fields)})"
SAVE = """UPDATE bulk_jobs SET status = :status, cursor = :cursor, matched = :matched, more = :more,
 changed = :changed, refused = :refused, updated_at = :updated_at WHERE id = :id"""
ONE = f"SELECT {_COLUMNS} FROM bulk_jobs WHERE id = :id AND environment = :environment"
ONE_TO_CHANGE = ONE + " {for_update}"
NEXT = f"SELECT {_COLUMNS} FROM bulk_jobs WHERE status = 'running' ORDER BY id LIMIT 1 {{skip_locked}}"
LIST = f"""SELECT {_COLUMNS} FROM bulk_jobs
WHERE environment = :environment AND (:cursor = '' OR id < :cursor) ORDER BY id DESC LIMIT :limit"""

KEEP_CHANGE = """INSERT INTO bulk_changes (environment, bulk_id, run_id, changed_at)
VALUES (:environment, :bulk_id, :run_id, :now) ON CONFLICT DO NOTHING"""
CHANGES = (
    """SELECT run_id FROM bulk_changes WHERE bulk_id = :bulk_id AND run_id > :cursor ORDER BY run_id LIMIT :limit"""
)
COUNT_CHANGES = "SELECT count(*) FROM bulk_changes WHERE bulk_id = :bulk_id"
DROP_CHANGES = "DELETE FROM bulk_changes WHERE bulk_id = :bulk_id AND run_id IN {each:run_ids}"
FORGET_CHANGES = """DELETE FROM bulk_changes
WHERE {in_rows} FROM bulk_changes WHERE changed_at < :before LIMIT :limit{end_rows}"""


def keep_changes(tx: Tx, job: Job, run_ids: list[str], now: Millis) -> None:
    """Notes which runs a job has changed, so that it can be undone."""
    about = {"environment": job.environment, "bulk_id": job.id, "now": now}
    tx.many(KEEP_CHANGE, [{**about, "run_id": run_id} for run_id in run_ids])


def changes_after(tx: Tx, bulk_id: str, cursor: str, limit: int) -> list[str]:
    """Ids of runs that a job has changed, and that were not changed back."""
    return [row[0] for row in tx.rows(CHANGES, {"bulk_id": bulk_id, "cursor": cursor, "limit": limit})]


def count_changes(tx: Tx, bulk_id: str) -> int:
    row = tx.row(COUNT_CHANGES, {"bulk_id": bulk_id})
    return row[0] if row else 0


def drop_changes(tx: Tx, bulk_id: str, run_ids: list[str]) -> None:
    tx.run(DROP_CHANGES, {"bulk_id": bulk_id, "run_ids": run_ids})


def forget_changes(tx: Tx, before: Millis, limit: int) -> int:
    """Forgets changes older than that; how many."""
    return tx.run(FORGET_CHANGES, {"before": before, "limit": limit})


def insert(tx: Tx, job: Job) -> None:
    """Keeps a new job; notifies `bulk`."""
    tx.run(
        INSERT,
        {
            **job._asdict(),
            "wanted": msgspec.json.encode(job.wanted).decode(),
            "force": int(job.force),
            "more": int(job.more),
        },
    )
    tx.notify("bulk")


def save(tx: Tx, job: Job) -> None:
    tx.run(SAVE, {**job._asdict(), "more": int(job.more)})


def job(tx: Tx, environment: str, job_id: str, *, to_change: bool = False) -> Job | None:
    row = tx.row(ONE_TO_CHANGE if to_change else ONE, {"environment": environment, "id": job_id})
    return _job(row) if row else None


def next_running(tx: Tx) -> Job | None:
    """The oldest job that is not done, for this node alone."""
    row = tx.row(NEXT)
    return _job(row) if row else None


def jobs_before(tx: Tx, environment: str, cursor: str, limit: int) -> list[Job]:
    params = {"environment": environment, "cursor": cursor, "limit": limit}
    return [_job(row) for row in tx.rows(LIST, params)]


def _job(row: Row) -> Job:
    return Job._make((*row[:3], _decode(row[3]), *row[4:-3], bool(row[-3]), row[-2], bool(row[-1])))
