"""Whether the result of blocking code is still wanted.

A thread cannot be killed. A body that runs for long asks now and then whether its step or execution is over; its late
result is discarded in any case.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar["Cancellation | None"] = ContextVar("ironflow_cancellation", default=None)


class Cancellation:
    """Whether a step or an execution is over although its body still runs. Every thread may ask it.

    Its threads are counted, so that the worker can wait for those that run on. within: the execution, of a step.
    """

    def __init__(self, within: "Cancellation | None" = None) -> None:
        self._requested = threading.Event()
        self._within = within
        self._steps: set[Cancellation] = set()
        self._threads = 0
        self._idle: asyncio.Future[None] | None = None

    @property
    def requested(self) -> bool:
        """Whether the body should end."""
        return self._requested.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits in a thread until the body should end; False after `timeout_s` seconds. Takes the place of a sleep."""
        return self._requested.wait(timeout_s)

    def request(self) -> None:
        """The body, and those of its steps, should end."""
        self._requested.set()
        for each in tuple(self._steps):
            each.request()

    @contextmanager
    def of_step(self) -> Iterator["Cancellation"]:
        """The cancellation of a step that runs within the block; what is left without its result is cancelled."""
        step = Cancellation(self)
        if self.requested:
            step.request()
        self._steps.add(step)
        token = _current.set(step)
        try:
            yield step
        finally:
            _current.reset(token)
            self._steps.discard(step)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Code within the block belongs to this execution."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    # Threads.

    def thread_started(self) -> None:
        self._threads += 1
        if self._within is not None:
            self._within.thread_started()

    def thread_ended(self) -> None:
        """Called on the event loop."""
        self._threads -= 1
        if not self._threads and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        if self._within is not None:
            self._within.thread_ended()

    async def threads_ended(self, timeout_s: float) -> bool:
        """Waits for the threads that run; False when some still do after `timeout_s` seconds."""
        if self._threads:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._idle,), timeout=timeout_s)
        return not self._threads


def current() -> Cancellation | None:
    """That of the step, or of the handler, whose code asks; None outside of them."""
    return _current.get()
