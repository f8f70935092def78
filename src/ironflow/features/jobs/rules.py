"""What is decided about workers and the leases of their jobs; pure. Fences: `ironflow.engine.lease`."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ironflow.base.time import Millis
from ironflow.engine.model import Lease, Run
from ironflow.features.code_versions.in_tx import CHARS_MAX
from ironflow.features.jobs.contract import (
    InvalidWorker,
)

ID_BYTES_MAX = 128
INCARNATION_MAX = 32
POLL_HOLD_S_MAX = 25.0
# The most that a lease lasts beyond the timeout of its function.
GRACE_MS_MAX = 60_000
# Expired leases are looked for at least this often; the loop is notified of one that ends sooner.
RECLAIM_EVERY_MS = 1_000
# An evicted worker that comes back within this time is known.
EVICTED_KEPT_MS = 30 * 24 * 3600 * 1000
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f*>/]")


def missing_labels(has: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Which labels of a function a worker lacks, as `name=value`, by name."""
    return sorted(f"{name}={value}" for name, value in wanted.items() if has.get(name) != value)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as it is stored. code_versions: by function id, the version of its code that the worker serves.

    registered_by: the key that it registered with; its reports are those of this key.
    """

    environment: str
    id: str
    hostname: str
    function_ids: tuple[str, ...]
    jobs_max: int
    labels: dict[str, str]
    sdk: str
    runtime: str
    transport: str
    registered_at: Millis
    seen_at: Millis
    code_versions: Mapping[str, str] = field(default_factory=dict[str, str])
    registered_by: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations. lease_ms: how long a lease lasts unless renewed. reservation_ms: between hand-out and ack.

    evict_ms: a worker that makes no request for this long is removed.
    losses_max: lost leases in a row, without a new step, after which a run fails.
    """

    lease_ms: int = 90_000
    reservation_ms: int = 30_000
    evict_ms: int = 120_000
    losses_max: int = 10

    @property
    def actor_ms(self) -> int:
        """A worker that makes no request for this long loses its actors."""
        return min(self.lease_ms, self.evict_ms)

    @property
    def silent_ms(self) -> int:
        """A worker that makes no request for this long, two heartbeats, is shown as unhealthy."""
        return self.evict_ms // 2


LeaseEnd = Literal["lost", "timed_out", "returned"]


def lease_end(lease: Lease, now: Millis) -> LeaseEnd:
    """Why an expired lease ended: it was not renewed, the function's timeout passed, or no worker began."""
    if lease.state == "reserved":
        return "returned"
    return "timed_out" if lease.deadline_at <= now else "lost"


def check_worker_id(worker_id: str) -> None:
    """Raises InvalidWorker."""
    if not worker_id or len(worker_id.encode()) > ID_BYTES_MAX or _FORBIDDEN.search(worker_id):
        raise InvalidWorker(
            f"{worker_id[:60]!r} is not a valid worker id: write 1 to {ID_BYTES_MAX} bytes "
            "without spaces, `/`, `*` or `>`."
        )


def check_incarnation(incarnation: str) -> None:
    """Raises InvalidWorker."""
    if incarnation and not (len(incarnation) <= INCARNATION_MAX and incarnation.isascii() and incarnation.isalnum()):
        raise InvalidWorker(
            f"{incarnation[:60]!r} is not a valid incarnation: write 1 to {INCARNATION_MAX} letters and digits."
        )


def decide_grant(jobs_max: int, unfinished: int, available: int) -> int:
    """How many jobs a poll may take: what it asks for, never more than the worker's slots that hold no lease."""
    return max(0, min(available, jobs_max - unfinished))


def check_code_versions(versions: Mapping[str, str]) -> None:
    """Raises InvalidWorker."""
    for function_id, version in versions.items():
        if len(version) > CHARS_MAX:
            raise InvalidWorker(
                f"The version of function {function_id[:60]!r} has {len(version)} characters; {CHARS_MAX} are the most."
            )


LeaseSight = Literal["refreshed", "stale", "unknown"]


def lease_sight(run: Run | None, job_id: str) -> LeaseSight:
    """The state of a job that a worker lists: whether the run's lease is for it. `unknown`: there is no such run.

    Source: protocol/worker-stream.md 5.
    """
    if run is None:
        return "unknown"
    lease = run.lease
    return "refreshed" if lease is not None and lease.live and lease.job_id == job_id else "stale"


def job_id(run_id: str, execution_seq: int) -> str:
    """A job's id: new for every execution, and it leads back to its run."""
    return f"job_{run_id.removeprefix('run_')}_{execution_seq}"


def run_id_of(job_id: str) -> str:
    """The run of a job id; for a text that is none of ours, an id that no run has."""
    return f"run_{job_id.removeprefix('job_').rpartition('_')[0]}"


class Channel(NamedTuple):
    """A poll or a stream, on which a worker is handed jobs. incarnation: of the worker's process, empty for others than
    ours. number: counted there."""

    incarnation: str = ""
    number: int = 0


NO_CHANNEL = Channel()


def lease_token(channel: Channel, random: str) -> str:
    """The token of a lease: new for every execution, and it leads back to where the job was handed out."""
    return f"{channel.incarnation}.{channel.number}.{random}" if channel.incarnation else random


def decide_undelivered(
    leases: Iterable[tuple[str, str]], incarnation: str, before: int, listed: Collection[str]
) -> list[str]:
    """The jobs of earlier polls and streams of the same process that it does not have: an answer was lost.

    leases: (job id, token) of those that the worker id holds. listed: the jobs that the process has. A job that is on
    its way to it was handed out on a channel whose number is not below `before`.
    """
    lost: list[str] = []
    for job_id, token in leases:
        of, _, rest = token.partition(".")
        if rest and of == incarnation and int(rest.partition(".")[0]) < before and job_id not in listed:
            lost.append(job_id)
    return lost


Control = Literal["pause", "cancelling", "paused", "cancelled", "lost"]


def decide_control(run: Run | None, job_id: str) -> Control | None:
    """What the worker has to do with the execution of this job, as its run is now; None: go on, if it has not ended.

    Source: docs/reference/semantics.md, "Pause, cancel, resume".
    """
    if run is None:
        return "lost"
    lease = run.lease
    if lease is not None and lease.live and lease.job_id == job_id:
        if run.winding_down:
            return "cancelling"
        return "pause" if run.pause_requested else None
    if run.status == "cancelled":
        return "cancelled"
    return "paused" if run.status == "paused" else "lost"
