"""Growing pauses between tries of what keeps failing. Source: protocol/errors-and-defaults.md 2."""

from collections.abc import Callable
from dataclasses import dataclass

from ironflow.base.errors import ConnectionLost, DeadlineExceeded, IronflowError, Unimplemented

_DOUBLINGS_MAX = 16


def is_transient(fault: IronflowError) -> bool:
    """Whether the same request may succeed later: no answer, 429 or a server's error."""
    if isinstance(fault, Unimplemented):
        return False
    return fault.status == 429 or fault.status >= 500


@dataclass(frozen=True, slots=True)
class Pauses:
    """In seconds. retry, retry_max: after an error answer, doubling; reconnect, reconnect_max: after no answer."""

    retry: float
    retry_max: float
    reconnect: float
    reconnect_max: float


class Backoff:
    """Pauses that grow with each failure in a row. warn: called for the first failure of a row only."""

    def __init__(self, pauses: Pauses, warn: Callable[[IronflowError], None]) -> None:
        self._pauses = pauses
        self._warn = warn
        self._failures = 0

    def succeeded(self) -> None:
        self._failures = 0

    @property
    def failing(self) -> bool:
        return self._failures > 0

    def pause_s(self, fault: IronflowError) -> float:
        """Seconds to wait after `fault`, which counts as one more failure.

        A server that does not answer is tried again soon: it may be just starting.
        """
        if not self._failures:
            self._warn(fault)
        pauses, growth = self._pauses, 2.0 ** min(self._failures, _DOUBLINGS_MAX)
        self._failures += 1
        if isinstance(fault, ConnectionLost | DeadlineExceeded):
            return min(pauses.reconnect * growth, pauses.reconnect_max)
        return max(min(pauses.retry * growth, pauses.retry_max), min(fault.retry_after_s or 0, pauses.retry_max))
