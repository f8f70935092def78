"""The waist: every operation, from whichever wire, passes here on its way to its handler.

Authorise, deadline, handler, count. The only place besides the loop runner that catches surprises: they are logged
with their traceback and answered as an internal error without details.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.errors import DeadlineExceeded, Internal, IronflowError, Unimplemented
from ironflow.base.operation import Operation
from ironflow.base.socket import Socket, SocketHandler, SocketRoute

logger = logging.getLogger(__name__)

# Unary: an awaitable answer. A stream: an async generator; its request is a message (`server`) or an async iterator of
# messages (`bidi`). A generator is closed when the client goes away: what it holds belongs into `try` and `finally`.
# One that may be refused, and then long has nothing to say, yields None first: it has begun. None is not sent.
Handler = Callable[[Call, Any], Awaitable[Any]]
StreamHandler = Callable[[Call, Any], AsyncGenerator[Any, None]]
# Raises Unauthenticated or PermissionDenied; given the call and the scope that the operation declares.
Authorise = Callable[[Call, str], None]


def allow_all(call: Call, scope: str) -> None:
    """Auth is not enforced yet; operations declare their scopes all the same."""


class Counts:
    """Calls by (operation, outcome), and the seconds they took; read by /metrics."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, float] = {}

    def add(self, operation: str, outcome: str, seconds: float) -> None:
        place = (operation, outcome)
        self.calls[place] = self.calls.get(place, 0) + 1
        self.seconds[operation] = self.seconds.get(operation, 0.0) + seconds


class Dispatch:
    """Calls handlers by operation."""

    def __init__(self, authorise: Authorise = allow_all) -> None:
        self._authorise = authorise
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

    async def __call__(
        self, operation: Operation[Any, Any], call: Call, request: msgspec.Struct, deadline_s: float | None = None
    ) -> Any:
        """The handler's answer. Raises IronflowError and nothing else (cancellation passes through)."""
        with _Watch(self.counts, operation.name, deadline_s):
            handler: Any = self._handler(operation, call)
            if deadline_s is None:
                return await handler(call, request)
            async with asyncio.timeout(deadline_s):
                return await handler(call, request)

    async def stream(
        self,
        operation: Operation[Any, Any],
        call: Call,
        request: msgspec.Struct | AsyncIterator[Any],
        deadline_s: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """The answers of a streaming operation as they come; close the generator when the client has gone.

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
        with _Watch(self.counts, operation.name, deadline_s):
            handler: Any = self._handler(operation, call)
            async with aclosing(handler(call, request)) as answers:
                while True:
                    # Around each answer, not around all: between answers it is the reader that works.
                    async with asyncio.timeout_at(ends_at):
                        try:
                            answer = await anext(answers)
                        except StopAsyncIteration:
                            return
                    yield answer if isinstance(answer, list) else [answer]

    async def socket(self, route: SocketRoute, socket: Socket) -> None:
        """A conversation from its handshake to its end. Raises as a call does."""
        with _Watch(self.counts, route.name, None):
            self._authorise(socket.call, route.scope)
            await self._sockets[route](socket)

    def _handler(self, operation: Operation[Any, Any], call: Call) -> Handler | StreamHandler:
        self._authorise(call, operation.scope)
        handler = self._handlers.get(operation)
        if handler is None:
            raise Unimplemented(f"This server does not offer {operation.name}.")
        return handler


class _Watch:
    """Counts one call, by its operation's name, and turns whatever it raises into an IronflowError."""

    __slots__ = ("_counts", "_deadline_s", "_name", "_started")

    def __init__(self, counts: Counts, name: str, deadline_s: float | None) -> None:
        self._counts, self._name, self._deadline_s = counts, name, deadline_s

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, surprise: BaseException | None, _: object) -> None:
        name = self._name
        error = None if surprise is None else _as_error(name, surprise, self._deadline_s)
        outcome = error.connect if error else "ok" if surprise is None else "canceled"
        self._counts.add(name, outcome, time.perf_counter() - self._started)
        if error is not None and error is not surprise:
            raise error from surprise


def _as_error(name: str, surprise: BaseException, deadline_s: float | None) -> IronflowError | None:
    """What is answered; None for what has nobody to be answered, such as a cancellation."""
    match surprise:
        case IronflowError():
            return surprise
        case TimeoutError() if deadline_s is not None:
            return DeadlineExceeded(f"{name} did not finish within {deadline_s} s.")
        case Exception():
            logger.error("operation failed", extra={"operation": name}, exc_info=surprise)
            return Internal()
        case _:
            return None
