"""`current_step()`: what the body of a step may ask about itself, and how it shows its progress."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from ironflow.base.errors import FailedPrecondition, ValidationError
from ironflow.sdk.user_code.cancellation import Cancellation
from ironflow.sdk.values.payload import Raw, to_payload

STEP_PROGRESS = "step-progress"
DETAILS_BYTES_MAX = 64 * 1024


class NotInAStep(FailedPrecondition):
    """`current_step()` is asked outside of a step's body. The handler has `ctx.run` and `ctx.cancellation`."""

    code = "NOT_IN_A_STEP"


class CurrentStep:
    """The step whose body runs, in all its threads and tasks.

    id: the same in every attempt and replay, and of no other step: the idempotency key for services outside. attempt:
    from 1, of the step where it has a retry of its own, else of its run. deadline: when its time-out or that of the
    execution ends it; None without any. details: what an earlier attempt showed last with `heartbeat`, None if nothing.
    """

    def __init__(
        self,
        id: str,
        name: str,
        *,
        attempt: int = 1,
        deadline: datetime | None = None,
        details: Any = None,
        cancellation: Cancellation | None = None,
        on_progress: Callable[[Raw], None] | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.attempt = attempt
        self.deadline = deadline
        self.details = details
        self._cancellation = cancellation or Cancellation()
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop() if on_progress is not None else None
        self._thread = threading.get_ident()

    @property
    def cancelled(self) -> bool:
        """Whether the result is wanted no more: the run was cancelled, the time is over, or the lease is lost."""
        return self._cancellation.requested

    def heartbeat(self, details: Any = None) -> None:
        """Shows progress: in `run get`, and as `details` of the next attempt. At most about once a second is sent.

        details: JSON of at most 64 KB. Never blocks; any thread may call it.
        Raises SerializationError, ValidationError.
        """
        payload = to_payload(details, f"the progress of step {self.name!r}")
        size = len(bytes(payload))
        if size > DETAILS_BYTES_MAX:
            raise ValidationError(
                f"the progress of step {self.name!r} is {size} bytes; {DETAILS_BYTES_MAX} is the limit. Keep what is "
                "larger elsewhere, and show where it is."
            )
        if self._on_progress is None or self._loop is None or self._loop.is_closed():
            return
        if threading.get_ident() == self._thread:
            # At once: the body may end before the loop goes on.
            self._on_progress(payload)
        else:
            self._loop.call_soon_threadsafe(self._on_progress, payload)

    def __repr__(self) -> str:
        return f"<CurrentStep {self.id} attempt {self.attempt}>"


_current: ContextVar[CurrentStep | None] = ContextVar("ironflow_current_step", default=None)
entered = _current.set
left = _current.reset


def current_step() -> CurrentStep:
    """The step whose body calls this, from a thread too. Raises NotInAStep elsewhere, as in the handler."""
    found = _current.get()
    if found is None:
        raise NotInAStep
    return found
