"""When workers connect, are seen, fall silent, drain and leave: their rows, and the system events about it.

Source: protocol/operating.md 4.
"""

from ironflow.base.time import Millis
from ironflow.features.jobs import store
from ironflow.features.jobs.notices import health_notice, worker_notice
from ironflow.features.jobs.rules import WorkerRow
from ironflow.features.runs.in_tx import job_key
from ironflow.storage.port import Tx


def came(tx: Tx, worker: WorkerRow, now: Millis) -> None:
    """The worker has registered."""
    store.save_worker(tx, worker)
    about = {"hostname": worker.hostname, "functionIds": worker.function_ids, "transport": worker.transport}
    for verb in ("registered", "connected"):
        tx.publish_local(worker_notice(worker.environment, worker.id, verb, about, now))
    tx.publish_local(health_notice(worker.environment, worker.id, now))


def seen(tx: Tx, environment: str, worker_id: str, now: Millis) -> None:
    """The worker has polled, or sent a heartbeat. One that was silent or evicted is back."""
    before = store.sighting(tx, environment, worker_id)
    store.mark_seen(tx, environment, worker_id, now)
    if before is None:
        return
    if before.evicted:
        tx.publish_local(worker_notice(environment, worker_id, "connected", {"transport": before.transport}, now))
    if before.evicted or before.silent:
        tx.publish_local(health_notice(environment, worker_id, now))


def drains(tx: Tx, environment: str, worker_id: str, now: Millis) -> None:
    """The worker takes no more jobs, and is about to leave: others may have its actors."""
    store.free_actors(tx, environment, worker_id)
    tx.publish_local(health_notice(environment, worker_id, now, draining=True))


def left(tx: Tx, environment: str, worker_id: str, now: Millis) -> None:
    """The worker has drained and left. One that has left already is no error."""
    functions = store.leave(tx, environment, worker_id, now)
    if functions is None:
        return
    tx.publish_local(health_notice(environment, worker_id, now, draining=True))
    tx.publish_local(worker_notice(environment, worker_id, "disconnected", {"reason": "drained"}, now))
    for function_id in functions:
        # Jobs of its actors are for other workers now.
        tx.notify("jobs", job_key(environment, function_id))


def fell_silent(tx: Tx, oldest: Millis, now: Millis) -> int:
    """Workers without a request since `oldest` are unhealthy, until their next one. Returns their number."""
    silent = store.mark_silent(tx, oldest, now)
    for environment, worker_id in silent:
        tx.publish_local(health_notice(environment, worker_id, now, health="unhealthy"))
    return len(silent)


def evicted(tx: Tx, oldest: Millis, now: Millis) -> int:
    """Evicts workers without a request since `oldest`. Returns their number."""
    evicted_workers = store.evict(tx, oldest, now)
    for environment, worker_id in evicted_workers:
        for verb in ("evicted", "disconnected"):
            tx.publish_local(worker_notice(environment, worker_id, verb, {"reason": "evicted"}, now))
    return len(evicted_workers)
