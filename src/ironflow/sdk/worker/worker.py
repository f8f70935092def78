"""The worker: takes jobs from a server, runs them, and drains on a signal.

Source: protocol/worker-rest.md, and protocol/worker-stream.md for the streaming one.
"""

import asyncio
import logging
import os
import platform
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from ironflow.base.deprecation import warn_renamed
from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.base.logs import set_up_logs
from ironflow.base.time import Clock, SystemClock
from ironflow.base.version import VERSION
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.projections.contract import InvalidProjection
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.projections.runner import ProjectionRunner, RunnerTiming
from ironflow.sdk.user_code.logs import LoggerChoice, SdkLogger, chosen_logger, logging_to
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.upcasting import UpcasterRegistry
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.tracing import Tracing
from ironflow.sdk.wire.transport import AiohttpTransport, AsyncTransport
from ironflow.sdk.worker.codec_fit import check_codec
from ironflow.sdk.worker.collector import seldom_collected
from ironflow.sdk.worker.connection import Connection
from ironflow.sdk.worker.inbox import WorkerInbox
from ironflow.sdk.worker.job_runner import JobRunner
from ironflow.sdk.worker.loop_watch import LoopWatch
from ironflow.sdk.worker.polling import PollingConnection
from ironflow.sdk.worker.protocol import WorkerProtocol
from ironflow.sdk.worker.run_clients import RunClients
from ironflow.sdk.worker.tasks import cancel_and_wait
from ironflow.sdk.worker.timing import WorkerTiming

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

logger = SdkLogger("ironflow.worker")


class Worker:
    """Runs functions for a server until it is asked to stop.

        Worker(functions=[process_order]).run()

    url, api_key, environment: None takes IRONFLOW_SERVER_URL, IRONFLOW_API_KEY, IRONFLOW_ENV, else the local server.
    max_concurrent_jobs: how many handlers run at a time. worker_id: None makes one up. labels: shown in lists.
    version: of the code of all its functions, such as a commit; without it, that of each is a hash of its handler. Runs
    of functions with `on_code_change="pin"` go on with workers of the version that they began with.
    upcasters: bring old events to their latest versions before handlers see them.
    projections: run beside the functions; without functions they are all that it does.
    checkpoint: `each` (default): a step's call returns once its result is durable on the server. `batched`: it returns
    at once, and results are reported up to a second later: a worker that is killed runs the steps of its last second
    again, and a pause or a timeout may have finished steps run again. A function's own checkpoint= goes before it.
    checkpoint: `each`: a step's call returns once its result is durable on the server. `batched`: it returns at once
    and results are reported up to a second later, for cheap steps without effects: a worker that is killed runs the
    steps of its last second again, and so does a run that is paused or times out. A function's own goes before it.
    timing, projection_timing: how often it asks and tries again.
    logger: anything with debug, info, warning and error, also of `ctx.logger` and of clients that its functions make;
    False for none, None for `logging`.
    strict: a step that is called and never awaited fails its run; else the log names it once for each function.
    plain_protocol: use nothing beyond the documented protocol, as with servers that offer no more.
    tracer_provider: of OpenTelemetry; None takes the global one, where the program has set one.
    clock: what durations of sleeps are added to; for tests. codec: encodes what the server stores of the users' data;
    functions whose settings have the server read data are refused.
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
        version: str = "",
        checkpoint: Literal["each", "batched"] = "each",
        timing: WorkerTiming | None = None,
        projection_timing: RunnerTiming | None = None,
        plain_protocol: bool = False,
        strict: bool = False,
        logger: LoggerChoice = None,
        transport: AsyncTransport | None = None,
        clock: Clock | None = None,
        tracer_provider: "TracerProvider | None" = None,
        codec: Codec | None = None,
        pace: WorkerTiming | None = None,
        projection_pace: RunnerTiming | None = None,
    ) -> None:
        if pace is not None:
            warn_renamed("pace=", "timing=")
        if projection_pace is not None:
            warn_renamed("projection_pace=", "projection_timing=")
        timing, projection_timing = timing or pace, projection_timing or projection_pace
        if max_concurrent_jobs < 1:
            raise InvalidArgument(f"max_concurrent_jobs is {max_concurrent_jobs!r}; a worker runs at least one.")
        if checkpoint not in ("each", "batched"):
            raise InvalidArgument(f"checkpoint is {checkpoint!r}; it is 'each' or 'batched'.")
        if upcasters is not None:
            upcasters.check()
        self._logger = chosen_logger(logger)
        self.functions = _by_id(functions, needed=not projections)
        if codec is not None:
            check_codec(self.functions.values(), projections)
        self.worker_id = worker_id or f"worker-{uuid.uuid4().hex}"
        self._endpoint = Endpoint.resolve(url, api_key, environment)
        self._timing = timing or WorkerTiming()
        self._plain_protocol = plain_protocol
        self._transport = transport or AiohttpTransport(self._endpoint.url)
        self._protocol = WorkerProtocol(self._transport, self._endpoint, self.worker_id, self._timing)
        self._jobs = JobRunner(
            self.functions,
            self._protocol.publish,
            self._timing,
            max_concurrent_jobs,
            self._endpoint.environment,
            clock or SystemClock(),
            upcasters,
            each=checkpoint == "each",
            clients=RunClients(self._endpoint, self._transport, tracer_provider, codec),
            codec=codec,
            strict=strict,
        )
        self._jobs.tracing = Tracing(tracer_provider)
        self._jobs.inbox = WorkerInbox(self._protocol.ask, self.worker_id)
        self._registration = {
            "hostname": socket.gethostname(),
            "function_ids": list(self.functions),
            "max_concurrent_jobs": max_concurrent_jobs,
            "labels": dict(labels or {}),
            "code_versions": {each.id: version or each.code_version for each in self.functions.values()},
            "version": {"sdk": VERSION, "runtime": f"python-{platform.python_version()}"},
        }
        self._runners = [
            ProjectionRunner(
                each,
                url=url,
                api_key=api_key,
                environment=environment,
                timing=projection_timing,
                upcasters=upcasters,
                logger=logger,
                transport=transport,
                codec=codec,
            )
            for each in _by_name(projections)
        ]
        self._watch = LoopWatch()
        self._draining = False
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._fault: BaseException | None = None
        self._connection_task: asyncio.Task[None] | None = None
        self._running: list[asyncio.Task[None]] = []
        self._connection = self._new_connection()

    @property
    def active_jobs(self) -> int:
        return self._jobs.active

    def run(self) -> None:
        """Serves until a signal: the first SIGINT or SIGTERM drains, the second stops at once. Raises as serve.

        A program that has not set up logging gets it on stderr: IRONFLOW_LOG_LEVEL is debug, info (default), warn,
        error or silent; IRONFLOW_LOG_FORMAT is text (default) or json. Python's garbage collector runs less often
        meanwhile, unless the program has set its pace.
        """
        _log_by_environment()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner, suppress(KeyboardInterrupt), seldom_collected():
            runner.run(self._serve_until_signal())

    async def start(self) -> None:
        """Registers and begins to take jobs; returns when the server knows the worker.

        The functions and the projections are registered then: events and waits find them. Keeps trying while the
        server cannot be reached. Raises WorkerAuthError, or the server's error for a function or a projection that
        it refuses.
        """
        if self._connection_task is None and not self._running:
            with logging_to(self._logger):
                self._begin()
        await self._ready.wait()
        await self._projections_registered()
        if self._fault is not None:
            await self.stop()
            raise self._fault

    def _begin(self) -> None:
        """Makes the tasks, which keep the worker's logger."""
        self._watch.start()
        self._running = [self._task(each.serve()) for each in self._runners]
        if self.functions:
            self._connection_task = self._task(self._connection.run())
        else:
            self._ready.set()

    async def _projections_registered(self) -> None:
        """Returns when the server knows every projection, or the worker has ended."""
        registering = [asyncio.ensure_future(each.registered()) for each in self._runners]
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            for each in registering:
                await asyncio.wait((each, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*registering, ended):
                task.cancel()

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
        with logging_to(self._logger):
            await self._drain(self._timing.drain if timeout is None else duration_ms(timeout) / 1000)

    async def _drain(self, timeout_s: float) -> None:
        self._draining = True
        await self._connection.stop_taking_jobs()
        await asyncio.gather(*(each.stop() for each in self._runners))
        if not await self._jobs.finished(timeout_s):
            await self._jobs.cancel_running()
        try:
            await self._connection.leave()
        except IronflowError as fault:
            # The server frees the worker's actors when it has been silent for the time of a lease.
            logger.warning("server does not answer", extra={"worker_id": self.worker_id, "fault": fault.message})
        await self.stop()

    async def stop(self) -> None:
        """Ends at once: handlers are cancelled, their jobs go to other workers when their leases end."""
        self._draining = True
        await asyncio.gather(*(each.stop(flush=0) for each in self._runners))
        self._watch.stop()
        await self._jobs.drop_all()
        await self._connection.close()
        await cancel_and_wait(self._connection_task)
        await self._transport.close()
        self._ready.set()
        self._ended.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.drain()

    def __repr__(self) -> str:
        return f"<Worker {self.worker_id} of {self._endpoint.url} for {', '.join(self._names())}>"

    def _names(self) -> list[str]:
        return [*self.functions, *(each.name for each in self._runners)]

    def _new_connection(self) -> Connection:
        """The connection that this kind of worker uses."""
        return PollingConnection(
            self._protocol,
            self._jobs,
            self._timing,
            list(self.functions.values()),
            self._registration,
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
            with logging_to(self._logger):
                logger.info("draining" if first else "stopping", extra={"jobs": self.active_jobs})
            ends.add(asyncio.create_task(self.drain() if first else self.stop()))

        _on_signals(on_signal)
        await self.serve()
        if ends:
            await asyncio.wait(ends)


def _log_by_environment() -> None:
    if not logging.getLogger().handlers:
        form = os.environ.get("IRONFLOW_LOG_FORMAT", "").lower() or "text"
        set_up_logs(os.environ.get("IRONFLOW_LOG_LEVEL", "") or "info", form)


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
