"""Intervals, pauses and time limits of a worker. Source: protocol/worker-rest.md 5 to 10, errors-and-defaults.md 2."""

from dataclasses import dataclass

from ironflow.sdk.wire.backoff import Pauses


@dataclass(frozen=True, slots=True)
class WorkerTiming:
    """All in seconds.

    poll_wait: how long the server may hold an empty poll; empty_pause: rest after one that it did not hold.
    retry, retry_max: rest after an error answer, doubling; reconnect, reconnect_max: the same without an answer.
    checkpoint: how long a finished step waits to be reported, 0 for never before the end; checkpoint_retry_max: the
    longest rest after a failed one. final_retries: rests between tries of an execution's last report.
    request: for any request but a poll, which gets poll_margin beyond its wait.
    late_threads: how long the next attempt waits for threads that run on after their function's timeout.
    drain: how long running jobs may take when the worker is asked to end; flush: for their last checkpoint after that.
    """

    poll_wait: int = 20
    poll_margin: float = 10.0
    empty_pause: float = 1.0
    heartbeat: float = 30.0
    retry: float = 5.0
    retry_max: float = 60.0
    reconnect: float = 0.1
    reconnect_max: float = 5.0
    checkpoint: float = 1.0
    checkpoint_retry_max: float = 30.0
    final_retries: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    request: float = 30.0
    late_threads: float = 30.0
    drain: float = 60.0
    flush: float = 5.0

    def pauses(self) -> Pauses:
        """Those between tries of what keeps failing."""
        return Pauses(self.retry, self.retry_max, self.reconnect, self.reconnect_max)
