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


_COLUMNS = ", ".join(Job._fields)
_decode = msgspec.json.Decoder(Filter).decode

INSERT = f"INSERT INTO bulk_jobs ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in Job._fields)})"
SAVE = """UPDATE bulk_jobs SET status = :status, cursor = :cursor, changed = :changed, refused = :refused,
 updated_at = :updated_at WHERE id = :id"""
ONE = f"SELECT {_COLUMNS} FROM bulk_jobs WHERE id = :id AND environment = :environment"
ONE_TO_CHANGE = ONE + " {for_update}"
NEXT = f"SELECT {_COLUMNS} FROM bulk_jobs WHERE status = 'running' ORDER BY id LIMIT 1 {{skip_locked}}"
LIST = f"""SELECT {_COLUMNS} FROM bulk_jobs
WHERE environment = :environment AND (:cursor = '' OR id < :cursor) ORDER BY id DESC LIMIT :limit"""


def insert(tx: Tx, job: Job) -> None:
    """Keeps a new job; notifies `bulk`."""
    tx.run(INSERT, {**job._asdict(), "wanted": msgspec.json.encode(job.wanted).decode(), "force": int(job.force)})
    tx.notify("bulk")


def save(tx: Tx, job: Job) -> None:
    tx.run(SAVE, job._asdict())


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
    return Job._make((*row[:3], _decode(row[3]), *row[4:-1], bool(row[-1])))
