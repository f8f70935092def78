"""What goes on by itself: limits are read again, in case a notification was lost, and what environments have used."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.limits.limiter import Limiter

READ_EVERY_MS = 30_000


class ReadLimits:
    """Reads what limited environments have used; has the limits read again at the next request from time to time."""

    name = "limits"
    topic = ""
    every_ms = 5_000
    notable = ()

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._read_at: Millis = 0

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        await self._limiter.look_at_usage(now)
        if now - self._read_at >= READ_EVERY_MS:
            self._read_at = now
            self._limiter.read_again()
        return Ran()
