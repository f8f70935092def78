"""What is remembered of jobs in the queue and of workers. The job rows themselves are written with their runs."""

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.model import Run
from ironflow.features.jobs.rules import WorkerRow
from ironflow.storage.port import Row, Tx

# A worker that lacked the function is not offered the job again, until it registers anew and may have it.
# An actor's job goes to the worker that had the actor last, as long as that one lives.
READY = """SELECT ready_at, run_id FROM jobs
WHERE environment = :environment AND function_id = :function_id AND state = 'ready'
 AND (avoid <> :worker OR ready_at < :registered_at)
 AND (actor_id IS NULL OR NOT EXISTS (
  SELECT 1 FROM actors a JOIN workers w ON w.environment = a.environment AND w.id = a.worker_id
  WHERE a.environment = jobs.environment AND a.function_id = jobs.function_id AND a.actor_id = jobs.actor_id
   AND a.worker_id <> :worker AND w.seen_at > :oldest))
ORDER BY ready_at, run_id LIMIT :limit {skip_locked}"""
SAVE_ACTOR = """INSERT INTO actors (environment, function_id, actor_id, worker_id)
VALUES (:environment, :function_id, :actor_id, :worker_id)
ON CONFLICT (environment, function_id, actor_id) DO UPDATE SET worker_id = excluded.worker_id"""
FORGET_ACTORS = """DELETE FROM actors WHERE NOT EXISTS (
 SELECT 1 FROM workers w WHERE w.environment = actors.environment AND w.id = actors.worker_id)"""
FUNCTIONS_READY = """SELECT f.value FROM {each:functions} AS f WHERE EXISTS (
 SELECT 1 FROM jobs WHERE environment = :environment AND function_id = f.value AND state = 'ready')"""
UNFINISHED = """SELECT count(*) FROM jobs
WHERE worker_id = :worker AND worker_id <> '' AND environment = :environment"""
EXPIRED = """SELECT run_id FROM jobs WHERE expires_at > 0 AND expires_at <= :now
ORDER BY expires_at LIMIT :limit {skip_locked}"""
NEXT_EXPIRY = "SELECT min(expires_at) FROM jobs WHERE expires_at > 0"
ACTIVE = """SELECT worker_id, count(*) FROM jobs
WHERE worker_id <> '' AND environment = :environment GROUP BY worker_id"""
QUEUE = "SELECT environment, function_id, count(*) FROM jobs WHERE state = 'ready' GROUP BY environment, function_id"

_COLUMNS = "environment, id, hostname, function_ids, jobs_max, labels, sdk, runtime, transport, registered_at, seen_at"
SAVE_WORKER = f"""INSERT INTO workers ({_COLUMNS})
VALUES (:environment, :id, :hostname, :function_ids, :jobs_max, :labels, :sdk, :runtime, :transport, :now, :now)
ON CONFLICT (environment, id) DO UPDATE SET hostname = excluded.hostname, function_ids = excluded.function_ids,
 jobs_max = excluded.jobs_max, labels = excluded.labels, sdk = excluded.sdk, runtime = excluded.runtime,
 transport = excluded.transport, registered_at = excluded.registered_at, seen_at = excluded.seen_at"""
WORKER = f"SELECT {_COLUMNS} FROM workers WHERE environment = :environment AND id = :id"
WORKERS = f"""SELECT {_COLUMNS} FROM workers WHERE environment = :environment AND id > :cursor AND seen_at > :oldest
ORDER BY id LIMIT :limit"""
ALL_LIVE = f"SELECT {_COLUMNS} FROM workers WHERE environment = :environment AND seen_at > :oldest"
COUNT_LIVE = "SELECT count(*) FROM workers WHERE seen_at > :oldest"
SEEN = "UPDATE workers SET seen_at = :now WHERE environment = :environment AND id = :id AND seen_at < :now"
EVICT = "DELETE FROM workers WHERE seen_at <= :oldest RETURNING environment, id"


def ready(tx: Tx, worker: WorkerRow, functions: list[str], limit: int, oldest: Millis) -> list[str]:
    """Run ids of ready jobs that the worker can do, longest waiting first.

    functions: those of the worker's that are looked at. oldest: workers last heard of before it do not count as alive.
    """
    if len(functions) > 1:
        # Most looks find nothing, or one function with work.
        asked = {"environment": worker.environment, "functions": functions}
        functions = [row[0] for row in tx.rows(FUNCTIONS_READY, asked)]
    found: list[Row] = []
    for function_id in functions:
        params = {
            "environment": worker.environment,
            "function_id": function_id,
            "worker": worker.id,
            "registered_at": worker.registered_at,
            "limit": limit,
            "oldest": oldest,
        }
        found += tx.rows(READY, params)
    if len(functions) > 1:
        found.sort()
    return [row[1] for row in found[:limit]]


def save_actors(tx: Tx, runs: list[Run]) -> None:
    """Which worker has the actor of each run now; runs without an actor are passed over."""
    tx.many(
        SAVE_ACTOR,
        [
            {
                "environment": run.environment,
                "function_id": run.function_id,
                "actor_id": run.actor_id,
                "worker_id": run.worker_id,
            }
            for run in runs
            if run.actor_id is not None
        ],
    )


def unfinished(tx: Tx, worker: WorkerRow) -> int:
    """Leases that the worker holds or is about to begin."""
    row = tx.row(UNFINISHED, {"worker": worker.id, "environment": worker.environment})
    return row[0] if row else 0


def expired(tx: Tx, now: Millis, limit: int) -> list[str]:
    """Run ids whose leases ended at `now` or before, the earliest first."""
    return [row[0] for row in tx.rows(EXPIRED, {"now": now, "limit": limit})]


def next_expiry(tx: Tx) -> Millis | None:
    row = tx.row(NEXT_EXPIRY)
    return row[0] if row else None


def active_by_worker(tx: Tx, environment: str) -> dict[str, int]:
    return {row[0]: row[1] for row in tx.rows(ACTIVE, {"environment": environment})}


def queue(tx: Tx) -> list[tuple[str, str, int]]:
    """(environment, function_id, ready jobs) of every function that has any."""
    return [(row[0], row[1], row[2]) for row in tx.rows(QUEUE)]


def save_worker(tx: Tx, worker: WorkerRow) -> None:
    tx.run(
        SAVE_WORKER,
        {
            "environment": worker.environment,
            "id": worker.id,
            "hostname": worker.hostname,
            "function_ids": msgspec.json.encode(worker.function_ids).decode(),
            "jobs_max": worker.jobs_max,
            "labels": msgspec.json.encode(worker.labels).decode(),
            "sdk": worker.sdk,
            "runtime": worker.runtime,
            "transport": worker.transport,
            "now": worker.seen_at,
        },
    )


def worker(tx: Tx, environment: str, worker_id: str) -> WorkerRow | None:
    row = tx.row(WORKER, {"environment": environment, "id": worker_id})
    return _worker(row) if row else None


def workers_after(tx: Tx, environment: str, cursor: str, limit: int, oldest: Millis) -> list[WorkerRow]:
    """Workers heard of after `oldest`, by id."""
    params = {"environment": environment, "cursor": cursor, "limit": limit, "oldest": oldest}
    return [_worker(row) for row in tx.rows(WORKERS, params)]


def is_served_elsewhere(tx: Tx, environment: str, function_id: str, worker_id: str, oldest: Millis) -> bool:
    """Whether a live worker other than this one lists the function."""
    rows = tx.rows(ALL_LIVE, {"environment": environment, "oldest": oldest})
    return any(function_id in each.function_ids and each.id != worker_id for each in map(_worker, rows))


def is_served(tx: Tx, environment: str, function_id: str, oldest: Millis) -> bool:
    """Whether any live worker lists the function."""
    rows = tx.rows(ALL_LIVE, {"environment": environment, "oldest": oldest})
    return any(function_id in each.function_ids for each in map(_worker, rows))


def count_live(tx: Tx, oldest: Millis) -> int:
    row = tx.row(COUNT_LIVE, {"oldest": oldest})
    return row[0] if row else 0


def mark_seen(tx: Tx, environment: str, worker_id: str, now: Millis) -> None:
    tx.run(SEEN, {"environment": environment, "id": worker_id, "now": now})


def evict(tx: Tx, oldest: Millis) -> list[tuple[str, str]]:
    """Forgets workers not heard of since `oldest`, and which actors they had; environment and id of each."""
    evicted = [(row[0], row[1]) for row in tx.rows(EVICT, {"oldest": oldest})]
    if evicted:
        tx.run(FORGET_ACTORS)
    return evicted


def _worker(row: Row) -> WorkerRow:
    functions = tuple(msgspec.json.decode(row[3], type=list[str]))
    labels = msgspec.json.decode(row[5], type=dict[str, str])
    return WorkerRow(row[0], row[1], row[2], functions, row[4], labels, *row[6:])
