"""The worker: gets jobs from a server, runs them, and ends in good order.

Source: protocol/worker-rest.md, and protocol/worker-stream.md for the streaming one.
"""

import asyncio
import logging
import platform
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument
from ironflow.base.time import Clock, SystemClock
from ironflow.base.version import VERSION
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.projections.contract import InvalidProjection
from ironflow.sdk.caller import Caller
from ironflow.sdk.conversation import Conversation
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.job_runner import JobRunner
from ironflow.sdk.pace import Pace
from ironflow.sdk.polling import Polling
from ironflow.sdk.projection import ProjectionDefinition
from ironflow.sdk.projection_runner import ProjectionRunner, RunnerPace
from ironflow.sdk.tasks import gone
from ironflow.sdk.transport import AiohttpTransport, AsyncTransport
from ironflow.sdk.upcasting import UpcasterRegistry
from ironflow.sdk.worker_protocol import WorkerProtocol

logger = logging.getLogger("ironflow.worker")


class Worker:
    """Runs functions for a server until it is asked to stop.

        Worker(functions=[process_order]).run()

    url, api_key, environment: None takes IRONFLOW_SERVER_URL, IRONFLOW_API_KEY, IRONFLOW_ENV, else the local server.
    max_concurrent_jobs: how many handlers run at a time. worker_id: None makes one up. labels: shown in lists.
    upcasters: bring old events to their latest versions before handlers see them.
    projections: run beside the functions; without functions they are all that it does.
    pace, projection_pace: how often it asks and tries again.
    plain_protocol: use nothing beyond the documented protocol, as with servers that offer no more.
    clock: what durations of sleeps are added to; for tests.
    Raises InvalidFunction for functions that cannot be run, InvalidArgument, UpcasterChainError for a gap in a chain.
    """

    def __init__(
        self,
        functions: Sequence[FunctionDefinition] = (),
        *,
        projections: Sequence[ProjectionDefinition] = (),
        upcasters: UpcasterRegistry | None = None,
        url: str | None = None,
        api_key: str | None = None,
        environment: str | None = None,
        worker_id: str | None = None,
        max_concurrent_jobs: int = 10,
        labels: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        projection_pace: RunnerPace | None = None,
        plain_protocol: bool = False,
        transport: AsyncTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        if max_concurrent_jobs < 1:
            raise InvalidArgument(f"max_concurrent_jobs is {max_concurrent_jobs!r}; a worker runs at least one.")
        if upcasters is not None:
            upcasters.check()
        self.functions = _by_id(functions, needed=not projections)
        self.worker_id = worker_id or f"worker-{uuid.uuid4().hex}"
        self._caller = Caller.found(url, api_key, environment)
        self._pace = pace or Pace()
        self._plain_protocol = plain_protocol
        self._transport = transport or AiohttpTransport(self._caller.url)
        self._protocol = WorkerProtocol(self._transport, self._caller, self.worker_id, self._pace)
        self._jobs = JobRunner(
            self.functions,
            self._protocol.publish,
            self._pace,
            max_concurrent_jobs,
            self._caller.environment,
            clock or SystemClock(),
            upcasters,
        )
        self._card = {
            "hostname": socket.gethostname(),
            "function_ids": list(self.functions),
            "max_concurrent_jobs": max_concurrent_jobs,
            "labels": dict(labels or {}),
            "version": {"sdk": VERSION, "runtime": f"python-{platform.python_version()}"},
        }
        self._runners = [
            ProjectionRunner(
                each,
                url=url,
                api_key=api_key,
                environment=environment,
                pace=projection_pace,
                upcasters=upcasters,
                transport=transport,
            )
            for each in _by_name(projections)
        ]
        self._draining = False
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._fault: BaseException | None = None
        self._talking: asyncio.Task[None] | None = None
        self._running: list[asyncio.Task[None]] = []
        self._talk = self._conversation()

    @property
    def active_jobs(self) -> int:
        return self._jobs.active

    def run(self) -> None:
        """Serves until a signal: the first SIGINT or SIGTERM drains, the second stops at once. Raises as serve."""
        with asyncio.Runner(loop_factory=_loop_factory()) as runner, suppress(KeyboardInterrupt):
            runner.run(self._serve_until_signal())

    async def start(self) -> None:
        """Registers and begins to take jobs; returns when the server knows the worker.

        Keeps trying while the server cannot be reached. Raises WorkerAuthError, or what the server says to a function
        that it does not accept.
        """
        if self._talking is None and not self._running:
            self._running = [self._task(each.serve()) for each in self._runners]
            if not self.functions:
                self._ready.set()
                return
            self._talking = self._task(self._talk.run())
        await self._ready.wait()
        if self._fault is not None:
            await self.stop()
            raise self._fault

    async def serve(self) -> None:
        """Starts and works until drain or stop is called. Raises as start, also when its key is refused later."""
        try:
            await self.start()
            await self._ended.wait()
        finally:
            await self.stop()
        if self._fault is not None:
            raise self._fault

    async def drain(self, timeout: Duration | None = None) -> None:
        """Takes no more jobs, waits for those that run, then ends.

        timeout: None takes the pace's. Handlers that take longer are cancelled; the steps they made are reported, and
        another worker goes on from there.
        """
        self._draining = True
        await self._talk.no_more()
        await asyncio.gather(*(each.stop() for each in self._runners))
        if not await self._jobs.finished(self._pace.drain if timeout is None else duration_ms(timeout) / 1000):
            await self._jobs.give_up()
        await self.stop()

    async def stop(self) -> None:
        """Ends at once: handlers are cancelled, their jobs go to other workers when their leases end."""
        self._draining = True
        await asyncio.gather(*(each.stop(flush=0) for each in self._runners))
        await self._jobs.drop_all()
        await self._talk.close()
        await gone(self._talking)
        await self._transport.close()
        self._ready.set()
        self._ended.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.drain()

    def __repr__(self) -> str:
        return f"<Worker {self.worker_id} of {self._caller.url} for {', '.join(self._names())}>"

    def _names(self) -> list[str]:
        return [*self.functions, *(each.name for each in self._runners)]

    def _conversation(self) -> Conversation:
        """How this worker talks to its server."""
        return Polling(
            self._protocol,
            self._jobs,
            self._pace,
            list(self.functions.values()),
            self._card,
            self._plain_protocol,
            self._ready.set,
        )

    def _task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task whose failure ends the worker."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = self._fault or fault
            self._ready.set()
            self._ended.set()

    # Signals.

    async def _serve_until_signal(self) -> None:
        ends: set[asyncio.Task[None]] = set()

        def on_signal() -> None:
            first = not self._draining
            logger.info("draining" if first else "stopping", extra={"jobs": self.active_jobs})
            ends.add(asyncio.create_task(self.drain() if first else self.stop()))

        _on_signals(on_signal)
        await self.serve()
        if ends:
            await asyncio.wait(ends)


def _by_id(functions: Sequence[FunctionDefinition], *, needed: bool) -> dict[str, FunctionDefinition]:
    """Raises InvalidFunction for what is no function, twice the same id, or a data type that cannot be read."""
    found: dict[str, FunctionDefinition] = {}
    for function in functions:
        if not isinstance(function, FunctionDefinition):
            raise InvalidFunction(f"{function!r} is no function. Write @function(...) above its handler.")
        if function.id in found:
            raise InvalidFunction(f"two functions are called {function.id!r}.")
        _ = function.read_data
        found[function.id] = function
    if not found and needed:
        raise InvalidFunction("a worker needs at least one function or projection.")
    return found


def _by_name(projections: Sequence[ProjectionDefinition]) -> list[ProjectionDefinition]:
    """Raises InvalidProjection for twice the same name."""
    names = [each.name for each in projections if isinstance(each, ProjectionDefinition)]
    for name in names:
        if names.count(name) > 1:
            raise InvalidProjection(f"two projections are called {name!r}.")
    return list(projections)


def _on_signals(act: Callable[[], None]) -> None:
    """Calls `act` for SIGINT and SIGTERM, where the platform and the thread allow it."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(each, act)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
