"""The error with which user code chooses when its next attempt starts."""

from typing import Any

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import IronflowError


class RetryAfterError(IronflowError):
    """Raise this to choose when the next attempt starts: `RetryAfterError("busy", after="30s")`."""

    code, retryable = "RETRY_AFTER", True

    def __init__(self, message: str | None = None, *, after: Duration = 0, **more: Any) -> None:
        self.retry_after_ms = duration_ms(after, number_unit="s")
        super().__init__(message, retry_after_s=self.retry_after_ms / 1000, **more)
