"""The one way of an operation to its handler, for every transport.

Authenticate, authorise, deadline, handler, count. The only place besides the loop runner that catches unexpected
exceptions: they are logged with their traceback and answered as an internal error without details.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, Protocol

import msgspec

from ironflow.base.call import Authorise, Call, Credentials, allow_all
from ironflow.base.connections import Connections
from ironflow.base.environment import DEFAULT_ENVIRONMENT, environment_named
from ironflow.base.errors import (
    DeadlineExceeded,
    Internal,
    IronflowError,
    PermissionDenied,
    Unauthenticated,
    Unimplemented,
)
from ironflow.base.operation import Adds, Operation
from ironflow.base.socket import Socket, SocketHandler, SocketRoute
from ironflow.base.time import Clock, Millis
from ironflow.base.trace_context import TraceContext
from ironflow.base.urgency import urgency
from ironflow.storage.port import OutcomeUnknown, StorageFailed

logger = logging.getLogger(__name__)

# Unary: an awaitable answer. A stream: an async generator; its request is a message (`server`) or an async iterator of
# messages (`bidi`). A generator is closed when the client disconnects: what it holds belongs into `try` and `finally`.
# One that may be refused, and then has nothing to send for a long time, yields None first: it has begun. None is not
# sent.
Handler = Callable[[Call, Any], Awaitable[Any]]
StreamHandler = Callable[[Call, Any], AsyncGenerator[Any, None]]
# The scope of what needs no credentials.
PUBLIC = "public"
REPEAT = "It is not known whether this was recorded: the database broke during the commit. Send it again."
# From credentials to the call that is made with them. Raises Unauthenticated, PermissionDenied or InvalidArgument.
Authenticate = Callable[[Credentials], Awaitable[Call]]


def anonymous(clock: Clock, find: Callable[[str], Awaitable[str]] | None = None) -> Authenticate:
    """Authentication that is not enforced: the principal is ANYONE, the environment is the one the request names.

    find: what the rows of an environment carry, by its id or name; None where these are the same.
    """

    async def authenticate(credentials: Credentials) -> Call:
        named = credentials.environment
        if find is None or not named:
            return Call(environment_named(named) if named else DEFAULT_ENVIRONMENT, clock.now())
        return Call(await find(named), clock.now())

    return authenticate


def enforce(call: Call, scope: str, request: Any = None) -> None:
    """Authorisation by the caller's access. Raises Unauthenticated, PermissionDenied."""
    if scope == PUBLIC:
        return
    access = call.principal.access
    if access is None:
        raise Unauthenticated("This needs an API key: send it as `Authorization: Bearer ifkey_…`.")
    access.check(call, scope, request)


# Called with the operation or scope, the call or the credentials that were presented, and the refusal.
OnRefused = Callable[[str, Call | None, Credentials | None, IronflowError], None]


class Limiter(Protocol):
    """Refuses requests and connections beyond their limits, with ResourceExhausted."""

    @property
    def idle(self) -> bool:
        """Whether there are no limits."""
        ...

    async def check_request(self, call: Call, scope: str) -> None: ...

    def check_bytes_left(self, environment: str, now: Millis, adds: Adds) -> None: ...

    def check_connections(self, call: Call, is_open: int) -> None:
        """is_open: sockets and streams of the caller, this one included."""
        ...


class RequestSpan(Protocol):
    """The span of one call. call: the call, below this span."""

    call: Call

    def ended(self, error: BaseException | None) -> None: ...


class RequestTracing(Protocol):
    """Records calls as spans."""

    def began(self, operation: Operation[Any, Any], call: Call) -> RequestSpan | None:
        """The span of a call; None for one that has none."""
        ...


class Counts:
    """Calls by (operation, outcome), and the seconds they took; read by /metrics."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, float] = {}

    def add(self, operation: str, outcome: str, seconds: float) -> None:
        key = (operation, outcome)
        self.calls[key] = self.calls.get(key, 0) + 1
        self.seconds[operation] = self.seconds.get(operation, 0.0) + seconds


class Dispatch:
    """Calls handlers by operation.

    authenticate: for everything that is not public. visitor: for what is public; None for the same.
    connections: what is open now; transports register it. on_refused: called with every refusal.
    """

    def __init__(
        self, authenticate: Authenticate, authorise: Authorise = allow_all, visitor: Authenticate | None = None
    ) -> None:
        self.authenticator = authenticate
        self.visitor = visitor or authenticate
        self.authorise = authorise
        self.connections = Connections()
        self.on_refused: OnRefused | None = None
        self.limiter: Limiter | None = None
        self.tracing: RequestTracing | None = None
        self._streaming: Counter[str] = Counter()
        self._handlers: dict[Operation[Any, Any], Handler | StreamHandler] = {}
        self._sockets: dict[SocketRoute, SocketHandler] = {}
        self.counts = Counts()

    def bind(self, handlers: Mapping[Operation[Any, Any], Handler | StreamHandler]) -> None:
        self._handlers.update(handlers)

    def bind_sockets(self, handlers: Mapping[SocketRoute, SocketHandler]) -> None:
        self._sockets.update(handlers)

    @property
    def sockets(self) -> list[SocketRoute]:
        return list(self._sockets)

    @property
    def operations(self) -> list[Operation[Any, Any]]:
        return list(self._handlers)

    async def authenticate(
        self,
        credentials: Credentials,
        scope: str,
        *,
        run_id: str,
        runtime: str,
        is_there: Callable[[], bool],
        trace: TraceContext | None = None,
    ) -> Call:
        """The Call of a request to what needs `scope`. The other arguments are the fields of Call of the same names.

        What is public is served without credentials, and so with wrong ones too.
        Raises IronflowError and nothing else (cancellation passes through).
        """
        try:
            call = await (self.visitor if scope == PUBLIC else self.authenticator)(credentials)
        except Exception as surprise:
            error = _as_error("authenticate", surprise, None)
            self.counts.add("authenticate", error.connect, 0.0)
            self.refused(scope, None, credentials, error)
            if error is surprise:
                raise
            raise error from surprise
        access = call.principal.access
        if access is not None and scope != PUBLIC:
            # Before the body is read. Where its fields matter, dispatch decides before it calls the handler.
            try:
                access.check_scope(call, scope)
            except PermissionDenied as error:
                self.refused(scope, call, credentials, error)
                raise
        if self.limiter is not None and not self.limiter.idle:
            await self.limiter.check_request(call, scope)
        # Built directly: `structs.replace` takes three times as long, and every request passes here.
        return Call(
            call.environment,
            call.now,
            call.principal,
            run_id,
            runtime,
            is_there,
            self.authorise,
            credentials.remote_address,
            trace,
        )

    async def __call__(
        self, operation: Operation[Any, Any], call: Call, request: msgspec.Struct, deadline_s: float | None = None
    ) -> Any:
        """The handler's answer. Raises IronflowError and nothing else (cancellation passes through)."""
        urgency.set("under_way" if operation.under_way else "new")
        started = time.perf_counter()
        span = None if self.tracing is None else self.tracing.began(operation, call)
        if span is not None:
            call = span.call
        try:
            handler: Any = self._handler(operation, call, request)
            if deadline_s is None:
                answer = await handler(call, request)
            else:
                async with asyncio.timeout(deadline_s):
                    answer = await handler(call, request)
        except BaseException as surprise:
            error: BaseException = surprise
            if isinstance(surprise, OutcomeUnknown) and operation.under_way:
                # Its id makes it safe to repeat, and workers repeat what the server could not do.
                error = StorageFailed(REPEAT)
            error = self.failed(operation.name, call, deadline_s, started, error)
            if span is not None:
                span.ended(error)
            if error is surprise:
                raise
            raise error from surprise
        self.counts.add(operation.name, "ok", time.perf_counter() - started)
        if span is not None:
            span.ended(None)
        return answer

    async def stream(
        self,
        operation: Operation[Any, Any],
        call: Call,
        request: msgspec.Struct | AsyncIterator[Any],
        deadline_s: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """The answers of a streaming operation as they come; close the generator when the client has disconnected.

        Raises as a call does, also after some answers.
        """
        async with aclosing(self.batches(operation, call, request, deadline_s)) as batches:
            async for answers in batches:
                for answer in answers:
                    yield answer

    async def batches(
        self,
        operation: Operation[Any, Any],
        call: Call,
        request: msgspec.Struct | AsyncIterator[Any],
        deadline_s: float | None = None,
    ) -> AsyncGenerator[list[Any], None]:
        """As `stream`, with those answers together that the handler gave together, as a list."""
        ends_at = None if deadline_s is None else asyncio.get_running_loop().time() + deadline_s
        with _Accounting(self, operation.name, call, deadline_s):
            handler: Any = self._handler(operation, call, request)
            with self._counted(call):
                async with aclosing(handler(call, request)) as answers:
                    if ends_at is None:
                        async for answer in answers:
                            yield answer if isinstance(answer, list) else [answer]
                        return
                    while True:
                        # Around each answer, not around all: the time that the reader takes does not count.
                        async with asyncio.timeout_at(ends_at):
                            try:
                                answer = await anext(answers)
                            except StopAsyncIteration:
                                return
                        yield answer if isinstance(answer, list) else [answer]

    async def socket(self, route: SocketRoute, socket: Socket) -> None:
        """Serves one WebSocket from its handshake to its end. Raises as a call does."""
        with _Accounting(self, route.name, socket.call, None):
            self.authorise(socket.call, route.scope, None)
            with self._counted(socket.call):
                await self._sockets[route](socket)

    @contextmanager
    def _counted(self, call: Call) -> Iterator[None]:
        """Around a socket or stream. Raises what the limiter raises."""
        name = call.principal.name
        self._streaming[name] += 1
        try:
            if self.limiter is not None and not self.limiter.idle:
                self.limiter.check_connections(call, self._streaming[name])
            yield
        finally:
            self._streaming[name] -= 1
            if not self._streaming[name]:
                del self._streaming[name]

    def failed(
        self, name: str, call: Call, deadline_s: float | None, started: float, surprise: BaseException
    ) -> BaseException:
        """Counts a call that failed; returns the error to answer with, or a cancellation as it is."""
        # Nothing is answered to what is no Exception, such as a cancellation.
        error = _as_error(name, surprise, deadline_s) if isinstance(surprise, Exception) else None
        self.counts.add(name, error.connect if error else "canceled", time.perf_counter() - started)
        if error is None:
            return surprise
        self.refused(name, call, None, error)
        return error

    def refused(self, action: str, call: Call | None, credentials: Credentials | None, error: IronflowError) -> None:
        """Reports an error that is a refusal to `on_refused`."""
        if self.on_refused is not None and isinstance(error, PermissionDenied | Unauthenticated):
            self.on_refused(action, call, credentials, error)

    def _handler(self, operation: Operation[Any, Any], call: Call, request: Any) -> Handler | StreamHandler:
        self.authorise(call, operation.scope, request)
        if operation.adds and self.limiter is not None and not self.limiter.idle:
            self.limiter.check_bytes_left(call.environment, call.now, operation.adds)
        handler = self._handlers.get(operation)
        if handler is None:
            raise Unimplemented(f"This server does not offer {operation.name}.")
        return handler


class _Accounting:
    """Counts one stream or socket under its name, and turns what it raises into an IronflowError."""

    __slots__ = ("_call", "_deadline_s", "_dispatch", "_name", "_started")

    def __init__(self, dispatch: Dispatch, name: str, call: Call, deadline_s: float | None) -> None:
        self._dispatch, self._name, self._call, self._deadline_s = dispatch, name, call, deadline_s

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, surprise: BaseException | None, _: object) -> None:
        if surprise is None:
            self._dispatch.counts.add(self._name, "ok", time.perf_counter() - self._started)
            return
        error = self._dispatch.failed(self._name, self._call, self._deadline_s, self._started, surprise)
        if error is not surprise:
            raise error from surprise


def _as_error(name: str, surprise: Exception, deadline_s: float | None) -> IronflowError:
    """The error to answer with."""
    if isinstance(surprise, IronflowError):
        return surprise
    if isinstance(surprise, TimeoutError) and deadline_s is not None:
        return DeadlineExceeded(f"{name} did not finish within {deadline_s} s.")
    logger.error("operation failed", extra={"operation": name}, exc_info=surprise)
    return Internal()
