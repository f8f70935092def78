"""Reads of the job queue, and the rows of workers. Job rows are written with their runs."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.model import Run
from ironflow.features.code_versions.in_tx import Pins
from ironflow.features.jobs.rules import WorkerRow
from ironflow.storage.port import Row, Tx

# A worker that lacked the function is not offered the job again until it registers anew.
# An actor's job goes to the worker that had the actor last, as long as that worker is alive.
READY = """SELECT ready_at, run_id FROM jobs
WHERE environment = :environment AND function_id = :function_id AND state = 'ready'
 AND (avoid <> :worker OR ready_at < :registered_at)
 AND (actor_id IS NULL OR NOT EXISTS (
  SELECT 1 FROM actors a JOIN workers w ON w.environment = a.environment AND w.id = a.worker_id
  WHERE a.environment = jobs.environment AND a.function_id = jobs.function_id AND a.actor_id = jobs.actor_id
   AND a.worker_id <> :worker AND a.worker_id <> jobs.avoid AND w.seen_at > :oldest))
ORDER BY ready_at, run_id LIMIT :limit {skip_locked}"""
# Runs of a pinned function: those of the worker's version, and those that have none yet where it is the newest.
_PINNED = """ AND COALESCE((SELECT v.version FROM run_code_versions v WHERE v.run_id = jobs.run_id), :fresh) = :version
ORDER BY"""
READY_PINNED = READY.replace("\nORDER BY", _PINNED, 1)
SAVE_ACTOR = """INSERT INTO actors (environment, function_id, actor_id, worker_id)
VALUES (:environment, :function_id, :actor_id, :worker_id)
ON CONFLICT (environment, function_id, actor_id) DO UPDATE SET worker_id = excluded.worker_id"""
FORGET_ACTORS = """DELETE FROM actors WHERE NOT EXISTS (
 SELECT 1 FROM workers w
 WHERE w.environment = actors.environment AND w.id = actors.worker_id AND w.evicted_at IS NULL)"""
FREE_ACTORS = "DELETE FROM actors WHERE environment = :environment AND worker_id = :id"
FREE_ACTORS_BUT = f"{FREE_ACTORS} AND function_id NOT IN {{each:functions}}"
FREE_ACTOR = """DELETE FROM actors WHERE environment = :environment AND function_id = :function_id
 AND actor_id = :actor_id AND worker_id = :worker_id"""
ACTOR_WORKER = """SELECT w.id, w.seen_at FROM actors a JOIN workers w
 ON w.environment = a.environment AND w.id = a.worker_id
WHERE a.environment = :environment AND a.function_id = :function_id AND a.actor_id = :actor_id
 AND w.seen_at > :oldest"""
# Seen never: it does not count as alive, until a poll or a heartbeat revives it.
LEAVE = """UPDATE workers SET evicted_at = :now, seen_at = 0
WHERE environment = :environment AND id = :id AND seen_at > 0 RETURNING function_ids"""
READY_OF = """SELECT ready_at, run_id FROM jobs
WHERE environment = :environment AND function_id = :function_id AND state = 'ready'
ORDER BY ready_at, run_id LIMIT :limit {skip_locked}"""
FUNCTIONS_READY = """SELECT f.value FROM {each:functions} AS f WHERE EXISTS (
 SELECT 1 FROM jobs WHERE environment = :environment AND function_id = f.value AND state = 'ready')"""
UNFINISHED = """SELECT count(*) FROM jobs
WHERE worker_id = :worker AND worker_id <> '' AND environment = :environment"""
EXPIRED = """SELECT run_id FROM jobs WHERE expires_at > 0 AND expires_at <= :now
ORDER BY expires_at LIMIT :limit {skip_locked}"""
NEXT_EXPIRY = "SELECT min(expires_at) FROM jobs WHERE expires_at > 0"
ACTIVE = """SELECT worker_id, count(*) FROM jobs
WHERE worker_id <> '' AND environment = :environment GROUP BY worker_id"""
LEASES_OF = """SELECT job_id, token FROM jobs
WHERE worker_id = :worker AND worker_id <> '' AND environment = :environment"""
# The second comparison of the node is that of the index.
HELD_BY_NODE = """SELECT run_id, job_id FROM jobs
WHERE node = :node AND node <> '' AND run_id > :after ORDER BY run_id LIMIT :limit"""
QUEUE = "SELECT environment, function_id, count(*) FROM jobs WHERE state = 'ready' GROUP BY environment, function_id"

_COLUMNS = """environment, id, hostname, function_ids, jobs_max, labels, sdk, runtime, transport, registered_at,
 seen_at, code_versions, registered_by"""
SAVE_WORKER = f"""INSERT INTO workers ({_COLUMNS})
VALUES (:environment, :id, :hostname, :function_ids, :jobs_max, :labels, :sdk, :runtime, :transport, :now, :now,
 :code_versions, :registered_by)
ON CONFLICT (environment, id) DO UPDATE SET hostname = excluded.hostname, function_ids = excluded.function_ids,
 jobs_max = excluded.jobs_max, labels = excluded.labels, sdk = excluded.sdk, runtime = excluded.runtime,
 transport = excluded.transport, registered_at = excluded.registered_at, seen_at = excluded.seen_at,
 code_versions = excluded.code_versions, registered_by = excluded.registered_by, evicted_at = NULL, silent_at = NULL"""
WORKER = f"SELECT {_COLUMNS} FROM workers WHERE environment = :environment AND id = :id"
WORKERS = f"""SELECT {_COLUMNS} FROM workers WHERE environment = :environment AND id > :cursor AND seen_at > :oldest
ORDER BY id LIMIT :limit"""
ALL_LIVE = f"SELECT {_COLUMNS} FROM workers WHERE environment = :environment AND seen_at > :oldest"
# Of workers that name a version of the function; the text stands in no other place of the column.
VERSIONS_SERVED = """SELECT DISTINCT code_versions FROM workers WHERE environment = :environment AND seen_at > :oldest
 AND replace(code_versions, :function, '') <> code_versions"""
VERSIONS_KNOWN = "SELECT DISTINCT code_versions FROM workers WHERE environment = :environment AND code_versions <> ''"
COUNT_LIVE = "SELECT count(*) FROM workers WHERE seen_at > :oldest"
COUNT_LIVE_BY_ENVIRONMENT = "SELECT environment, count(*) FROM workers WHERE seen_at > :oldest GROUP BY environment"
SIGHTING = "SELECT transport, evicted_at, silent_at FROM workers WHERE environment = :environment AND id = :id"
SEEN = """UPDATE workers SET seen_at = :now, evicted_at = NULL, silent_at = NULL
WHERE environment = :environment AND id = :id AND seen_at < :now"""
SILENT = """UPDATE workers SET silent_at = :now
WHERE seen_at <= :oldest AND silent_at IS NULL AND evicted_at IS NULL RETURNING environment, id"""
EVICT = """UPDATE workers SET evicted_at = :now WHERE seen_at <= :oldest AND evicted_at IS NULL
RETURNING environment, id"""
FORGET = "DELETE FROM workers WHERE evicted_at <= :oldest"


NO_PINS: Mapping[str, Pins] = {}


def ready(
    tx: Tx,
    worker: WorkerRow,
    functions: list[str],
    limit: int,
    oldest: Millis,
    pins: Mapping[str, Pins] = NO_PINS,
) -> list[str]:
    """Run ids of ready jobs that the worker can do, longest waiting first.

    functions: of the worker, those to search. oldest: workers last seen before it keep no actors.
    pins: of those functions that are pinned, by id.
    """
    if len(functions) > 1:
        # Most searches find no job, or those of one function.
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
        pinned = pins.get(function_id)
        if pinned is None:
            found += tx.rows(READY, params)
        else:
            # A version that no worker has keeps runs without one away.
            fresh = pinned.version if pinned.fresh else f"not {pinned.version}"
            found += tx.rows(READY_PINNED, {**params, "version": pinned.version, "fresh": fresh})
    if len(functions) > 1:
        found.sort()
    return [row[1] for row in found[:limit]]


def ready_at_endpoint(tx: Tx, environment: str, functions: list[str], limit: int) -> list[tuple[str, str]]:
    """(run id, function id) of ready jobs of the functions, longest waiting first, whatever worker had them last."""
    found: list[tuple[Millis, str, str]] = []
    for function_id in functions:
        params = {"environment": environment, "function_id": function_id, "limit": limit}
        found += [(row[0], row[1], function_id) for row in tx.rows(READY_OF, params)]
    if len(functions) > 1:
        found.sort()
    return [(run_id, function_id) for _, run_id, function_id in found[:limit]]


def ready_of(tx: Tx, environment: str, functions: list[str]) -> list[str]:
    """Those of the functions that have ready jobs."""
    return [row[0] for row in tx.rows(FUNCTIONS_READY, {"environment": environment, "functions": functions})]


def save_actors(tx: Tx, runs: list[Run]) -> None:
    """Saves which worker has the actor of each run. Runs without an actor are left out."""
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
    return unfinished_by(tx, worker.environment, worker.id)


def unfinished_by(tx: Tx, environment: str, worker_id: str) -> int:
    """Leases that are held by this worker id."""
    row = tx.row(UNFINISHED, {"worker": worker_id, "environment": environment})
    return row[0] if row else 0


def expired(tx: Tx, now: Millis, limit: int) -> list[str]:
    """Run ids whose leases ended at `now` or before, the earliest first."""
    return [row[0] for row in tx.rows(EXPIRED, {"now": now, "limit": limit})]


def next_expiry(tx: Tx) -> Millis | None:
    row = tx.row(NEXT_EXPIRY)
    return row[0] if row else None


def active_by_worker(tx: Tx, environment: str) -> dict[str, int]:
    return {row[0]: row[1] for row in tx.rows(ACTIVE, {"environment": environment})}


def leases_of(tx: Tx, environment: str, worker_id: str) -> list[tuple[str, str]]:
    """(job id, token) of the leases that are held by this worker id."""
    rows = tx.rows(LEASES_OF, {"worker": worker_id, "environment": environment})
    return [(row[0], row[1]) for row in rows]


def held_by_node(tx: Tx, node: str, after: str, limit: int) -> dict[str, str]:
    """Job ids, by run id, of executions that end with this incarnation of a node, beyond the run id `after`."""
    return {row[0]: row[1] for row in tx.rows(HELD_BY_NODE, {"node": node, "after": after, "limit": limit})}


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
            "code_versions": msgspec.json.encode(worker.code_versions).decode(),
            "registered_by": worker.registered_by,
            "now": worker.seen_at,
        },
    )


def worker(tx: Tx, environment: str, worker_id: str) -> WorkerRow | None:
    row = tx.row(WORKER, {"environment": environment, "id": worker_id})
    return _worker(row) if row else None


def workers_after(tx: Tx, environment: str, cursor: str, limit: int, oldest: Millis) -> list[WorkerRow]:
    """Workers last seen after `oldest`, by id."""
    params = {"environment": environment, "cursor": cursor, "limit": limit, "oldest": oldest}
    return [_worker(row) for row in tx.rows(WORKERS, params)]


def is_served_elsewhere(tx: Tx, environment: str, function_id: str, worker_id: str, oldest: Millis) -> bool:
    """Whether a live worker other than this one lists the function."""
    rows = tx.rows(ALL_LIVE, {"environment": environment, "oldest": oldest})
    return any(function_id in each.function_ids and each.id != worker_id for each in map(_worker, rows))


def serving(tx: Tx, environment: str, function_id: str, oldest: Millis) -> list[WorkerRow]:
    """The live workers that list the function."""
    rows = tx.rows(ALL_LIVE, {"environment": environment, "oldest": oldest})
    return [each for each in map(_worker, rows) if function_id in each.function_ids]


def versions_served(tx: Tx, environment: str, function_id: str, oldest: Millis) -> list[str]:
    """The versions of the function that live workers name."""
    function = f"{msgspec.json.encode(function_id).decode()}:"
    rows = tx.rows(VERSIONS_SERVED, {"environment": environment, "function": function, "oldest": oldest})
    named = [_versions(row[0]) for row in rows]
    return list({each[function_id] for each in named if function_id in each})


def versions_known(tx: Tx, environment: str) -> set[tuple[str, str]]:
    """(function id, version) of all workers, also of those that were evicted and may come back."""
    rows = tx.rows(VERSIONS_KNOWN, {"environment": environment})
    return {pair for row in rows for pair in _versions(row[0]).items()}


def count_live(tx: Tx, oldest: Millis) -> int:
    row = tx.row(COUNT_LIVE, {"oldest": oldest})
    return row[0] if row else 0


def count_live_by_environment(tx: Tx, oldest: Millis) -> dict[str, int]:
    """Workers seen since `oldest`; `default` is there also without any."""
    return {"default": 0} | {row[0]: row[1] for row in tx.rows(COUNT_LIVE_BY_ENVIRONMENT, {"oldest": oldest})}


class Sighting(NamedTuple):
    """What was last known of a worker. silent: without a request for a while; evicted: for longer."""

    transport: str
    silent: bool
    evicted: bool


def sighting(tx: Tx, environment: str, worker_id: str) -> Sighting | None:
    row = tx.row(SIGHTING, {"environment": environment, "id": worker_id})
    return Sighting(row[0], silent=row[2] is not None, evicted=row[1] is not None) if row else None


def mark_seen(tx: Tx, environment: str, worker_id: str, now: Millis) -> None:
    tx.run(SEEN, {"environment": environment, "id": worker_id, "now": now})


def mark_silent(tx: Tx, oldest: Millis, now: Millis) -> list[tuple[str, str]]:
    """Environment and id of workers without a heartbeat since `oldest`, each once until it is seen again."""
    return [(row[0], row[1]) for row in tx.rows(SILENT, {"oldest": oldest, "now": now})]


def evict(tx: Tx, oldest: Millis, now: Millis) -> list[tuple[str, str]]:
    """Evicts workers without a heartbeat since `oldest`, and frees their actors; environment and id of each.

    Their rows stay for a while: a poll or a heartbeat revives them.
    """
    evicted = [(row[0], row[1]) for row in tx.rows(EVICT, {"oldest": oldest, "now": now})]
    if evicted:
        tx.run(FORGET_ACTORS)
    return evicted


def leave(tx: Tx, environment: str, worker_id: str, now: Millis) -> list[str] | None:
    """The worker has left: its actors are free. Returns its functions; None when it was not there."""
    row = tx.row(LEAVE, {"environment": environment, "id": worker_id, "now": now})
    if row is None:
        return None
    free_actors(tx, environment, worker_id)
    return msgspec.json.decode(row[0], type=list[str])


def keep_actors(tx: Tx, worker: WorkerRow, function_ids: list[str]) -> None:
    """A worker that registers anew keeps only the actors of these functions, which it still serves."""
    tx.run(FREE_ACTORS_BUT, {"environment": worker.environment, "id": worker.id, "functions": function_ids})


def free_actors_of(tx: Tx, runs: list[Run]) -> None:
    """Frees the actors of runs whose worker has lost them; another worker may take them. run: as it was before."""
    tx.many(
        FREE_ACTOR,
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


def actor_worker(tx: Tx, run: Run, oldest: Millis) -> tuple[str, Millis] | None:
    """The worker that has the run's actor, and when it was last seen; None when any worker may take it.

    oldest: workers last seen before it have none.
    """
    asked = {"environment": run.environment, "function_id": run.function_id, "actor_id": run.actor_id}
    row = tx.row(ACTOR_WORKER, {**asked, "oldest": oldest})
    return (row[0], row[1]) if row else None


def free_actors(tx: Tx, environment: str, worker_id: str) -> None:
    """Any worker may take the actors that this one had."""
    tx.run(FREE_ACTORS, {"environment": environment, "id": worker_id})


def forget_evicted(tx: Tx, oldest: Millis) -> None:
    """Deletes workers that were evicted at `oldest` or before."""
    tx.run(FORGET, {"oldest": oldest})


def _worker(row: Row) -> WorkerRow:
    functions = tuple(msgspec.json.decode(row[3], type=list[str]))
    labels = msgspec.json.decode(row[5], type=dict[str, str])
    return WorkerRow(
        row[0], row[1], row[2], functions, row[4], labels, *row[6:11], code_versions=_versions(row[11]),
        registered_by=row[12],
    )  # fmt: skip


def _versions(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str]) if text else {}
