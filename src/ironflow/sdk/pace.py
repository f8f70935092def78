"""How often a worker asks, tells and tries again. Source: protocol/worker-rest.md 5 to 10, errors-and-defaults.md 2."""

from dataclasses import dataclass

from ironflow.base.errors import ConnectionLost, DeadlineExceeded, IronflowError, Unimplemented


@dataclass(frozen=True, slots=True)
class Pace:
    """All in seconds.

    poll_wait: how long the server may hold an empty poll; empty_pause: rest after one that it did not hold.
    retry, retry_max: rest after an error answer, doubling; reconnect, reconnect_max: the same when nobody answers.
    checkpoint: how long a finished step waits to be reported, 0 for never before the end; checkpoint_retry_max: the
    longest rest after a failed one. final_retries: rests between tries of an execution's last report.
    request: for any request but a poll, which gets poll_margin beyond its wait.
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
    drain: float = 60.0
    flush: float = 5.0


def is_transient(fault: IronflowError) -> bool:
    """Whether the same request may succeed later: no answer, 408, 429 or a server's error."""
    if isinstance(fault, Unimplemented):
        return False
    return fault.status == 429 or fault.status >= 500


class Backoff:
    """Growing rests while something keeps failing."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._failures = 0

    def succeeded(self) -> None:
        self._failures = 0

    @property
    def failing(self) -> bool:
        return self._failures > 0

    def next_pause(self, fault: IronflowError) -> float:
        """Seconds to rest after `fault`. A server that is just starting again is found soon."""
        pace, grown = self._pace, 2.0 ** min(self._failures, 16)
        self._failures += 1
        if isinstance(fault, ConnectionLost | DeadlineExceeded):
            return min(pace.reconnect * grown, pace.reconnect_max)
        return max(min(pace.retry * grown, pace.retry_max), min(fault.retry_after_s or 0, pace.retry_max))
