"""When what follows a server connects again. Source: protocol/errors-and-defaults.md 2, websocket.md 1; ADR 0066."""

from dataclasses import dataclass
from typing import Self

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.features.consumer_groups.contract import MemberNotFound
from ironflow.sdk.wire.retries import Retries

# Beyond it a pause has long reached its greatest length.
_DOUBLINGS_MAX = 60


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How subscriptions and watches connect again after their connection broke.

        Client(reconnect=Reconnect(delay="500ms", max_attempts=20))

    enabled: False raises the first failure instead. delay, factor, max_delay: the first pause, by what each further one
    in a row is longer, and the longest. connect_timeout: for opening a connection. max_attempts: connections that fail
    in a row before the failure is raised; None for no limit.
    Raises InvalidArgument for values that contradict each other.
    """

    enabled: bool = True
    delay: Duration = "1s"
    max_delay: Duration = "30s"
    factor: float = 1.5
    connect_timeout: Duration = "10s"
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise InvalidArgument(f"factor is {self.factor!r}; pauses grow, or stay the same with 1.")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise InvalidArgument(f"max_attempts is {self.max_attempts!r}; write enabled=False to try no other time.")
        if duration_ms(self.max_delay) < duration_ms(self.delay):
            raise InvalidArgument(f"max_delay is {self.max_delay!r}, less than the first delay, {self.delay!r}.")
        if duration_ms(self.connect_timeout) == 0:
            raise InvalidArgument("connect_timeout is nothing: no connection opens in that time.")

    @classmethod
    def of(cls, retries: Retries) -> Self:
        """Of a client that names none: as soon as its calls are repeated, and for ever."""
        delay, longest = retries.initial_s, max(retries.initial_s, retries.max_s)
        return cls(delay=delay, max_delay=longest, factor=max(retries.factor, 1))

    @property
    def connect_timeout_s(self) -> float:
        return duration_ms(self.connect_timeout) / 1000

    def pause_s(self, failures: int) -> float:
        """Seconds before the next try. failures: in a row, at least 1."""
        growth = self.factor ** min(failures - 1, _DOUBLINGS_MAX)
        return min(duration_ms(self.delay) * growth, duration_ms(self.max_delay)) / 1000


def decide_reconnect(fault: IronflowError, failures: int, reconnect: Reconnect) -> float | None:
    """Seconds until what broke is connected again, None when `fault` is the end of it.

    failures: in a row, this one included.
    """
    if not reconnect.enabled or not (fault.retryable or isinstance(fault, MemberNotFound)):
        return None
    if reconnect.max_attempts is not None and failures > reconnect.max_attempts:
        return None
    pause_s = reconnect.pause_s(failures)
    return pause_s if fault.retry_after_s is None else max(pause_s, fault.retry_after_s)
