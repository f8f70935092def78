"""Whether the result of blocking code is still wanted.

A thread cannot be killed. A body that runs for long asks now and then whether its step or execution is over; its late
result is discarded in any case.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

_current: ContextVar["Cancellation | None"] = ContextVar("ironflow_cancellation", default=None)
# Two threads that wait for the same body make one event.
_making_event = threading.Lock()


class Cancellation:
    """Whether a step or an execution is over although its body still runs. Any thread may ask it.

    Its threads are counted, so that the worker can wait for those that run on. within: of a step, the cancellation of
    its execution.
    """

    __slots__ = ("_event", "_idle", "_requested", "_steps", "_threads", "_within")

    def __init__(self, within: "Cancellation | None" = None) -> None:
        self._requested = False
        # Made for the first thread that waits: most bodies never do, and an event takes longer than an empty step.
        self._event: threading.Event | None = None
        self._within = within
        self._steps: set[Cancellation] | None = None
        self._threads = 0
        self._idle: asyncio.Future[None] | None = None

    @property
    def requested(self) -> bool:
        """Whether the body should end."""
        return self._requested

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits in a thread until the body should end; False after `timeout_s` seconds. Takes the place of a sleep."""
        with _making_event:
            event = self._event = self._event or threading.Event()
        # `request` sets the flag before it looks for the event: one of the two sees the other.
        return self._requested or event.wait(timeout_s)

    def request(self) -> None:
        """The body, and those of its steps, should end."""
        self._requested = True
        if self._event is not None:
            self._event.set()
        for each in tuple(self._steps or ()):
            each.request()

    def of_step(self) -> "_OfStep":
        """A block in which a step runs. Gives the step's cancellation."""
        return _OfStep(self)

    def step_began(self) -> "Cancellation":
        """The cancellation of a step that begins."""
        step = Cancellation(self)
        step._requested = self._requested
        if self._steps is None:
            self._steps = set()
        self._steps.add(step)
        return step

    def step_ended(self, step: "Cancellation") -> None:
        if self._steps is not None:
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


class _OfStep:
    """The block of `Cancellation.of_step`; a class, since a generator takes twice as long at every step."""

    __slots__ = ("_execution", "_step", "_token")

    def __init__(self, execution: Cancellation) -> None:
        self._execution = execution

    def __enter__(self) -> Cancellation:
        self._step = self._execution.step_began()
        self._token: Token[Cancellation | None] = _current.set(self._step)
        return self._step

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        self._execution.step_ended(self._step)


def current() -> Cancellation | None:
    """The cancellation of the step, else of the handler, whose code calls this; None outside of both."""
    return _current.get()
