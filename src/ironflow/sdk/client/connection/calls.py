"""Calls to a server: one method for every operation, with retries, deadline and headers."""

from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from time import monotonic
from typing import Any

import msgspec

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import IronflowError, Unimplemented
from ironflow.base.operation import Operation, Req, Res
from ironflow.sdk.client.connection.encoding import encoded_request
from ironflow.sdk.client.connection.hooks import (
    ErrorContext,
    Hooks,
    OnClientError,
    OnRetry,
    RetryEvent,
    expecting,
    is_expected,
    method_called,
)
from ironflow.sdk.client.connection.status import Observers
from ironflow.sdk.user_code.call import observe
from ironflow.sdk.user_code.logs import LoggerChoice, SdkLogger, chosen_logger
from ironflow.sdk.values.codec import CannotDecode, Codec
from ironflow.sdk.wire import current_run, message_stream
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.operations import Outgoing, Prefer, error_in, outgoing, path_of, read_answer
from ironflow.sdk.wire.reconnect import Reconnect, decide_reconnect
from ironflow.sdk.wire.retries import Retries, attempts_max, decide_repeat, is_away
from ironflow.sdk.wire.tracing import Tracing
from ironflow.sdk.wire.transport import AiohttpTransport, AsyncStreaming, AsyncTransport, Refused
from ironflow.sdk.wire.world import async_transport_of


class Calls:
    """How operations are asked of one server. timeout: for a call with its retries, when it names none.

    codec: encodes payloads of requests, and decodes those of answers.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        timeout: Duration,
        retries: Retries,
        transport: AsyncTransport | None = None,
        reconnect: Reconnect | None = None,
        *,
        on_error: OnClientError | None = None,
        on_retry: OnRetry | None = None,
        logger: LoggerChoice = None,
        tracing: Tracing | None = None,
        codec: Codec | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.transport = transport or async_transport_of(endpoint.url) or AiohttpTransport(endpoint.url)
        self._headers = endpoint.headers()
        self._timeout_s = duration_ms(timeout) / 1000
        self._retries = retries
        self._tracing = tracing or Tracing()
        self.reconnect = reconnect or Reconnect.of(retries)
        self.hooks = Hooks(on_error, on_retry, SdkLogger(__name__, chosen_logger(logger)), Observers())
        self.codec = codec

    async def call(
        self,
        operation: Operation[Req, Res],
        request: Req,
        *,
        timeout: Duration | None = None,
        prefer: Prefer = "rest",
        method: str = "",
    ) -> Res:
        """The server's answer to `request`.

        timeout: for the whole call with its retries; None for the client's own. prefer: the wire, where there are two.
        method: of the client, for reports; empty for the one within which this is called.
        Raises what the server raised; ConnectionLost and DeadlineExceeded when there was no answer.
        """
        method = method or self.method()
        out = outgoing(operation, request if self.codec is None else encoded_request(request, self.codec), prefer)
        spans = self._tracing.of_calls()
        if spans is None:
            return await self._call(operation, out, {}, timeout, method)
        with spans.call(operation.name) as trace:
            return await self._call(operation, out, trace, timeout, method)

    async def _call(
        self,
        operation: Operation[Req, Res],
        out: Outgoing,
        more_headers: Mapping[str, str],
        timeout: Duration | None,
        method: str,
    ) -> Res:
        headers = {**self._headers, **out.headers, **more_headers}
        if run_id := current_run.run_id.get():
            headers["X-Ironflow-Run-ID"] = run_id
        deadline = monotonic() + (self._timeout_s if timeout is None else duration_ms(timeout) / 1000)
        attempt = 1
        while True:
            status: int | None = None
            try:
                answer = await self.transport.request(
                    out.method, out.path, headers, out.body, max(deadline - monotonic(), 0.001)
                )
                status = answer.status
                if self.codec is not None:
                    answer = answer._replace(body=self.codec.decoded_text(answer.body))
                return read_answer(operation, answer)
            except IronflowError as fault:
                decoded = not isinstance(fault, CannotDecode)
                pause_s = decide_repeat(fault, attempt, out.safe, self._retries) if decoded else None
                if pause_s is None or monotonic() + pause_s >= deadline:
                    await self.report(fault, out.path, status, method)
                    raise
                if attempt == 1 and is_away(fault):
                    self.hooks.logger.warning(
                        "server away, call is repeated", extra={"url": self.endpoint.url, "error": str(fault)}
                    )
                if self.hooks.on_retry is not None or self._retries.on_retry is not None:
                    await self._retried(RetryEvent(attempt, attempts_max(fault, self._retries), fault, pause_s))
            await sleep(pause_s)
            attempt += 1

    async def report(self, fault: IronflowError, path: str, status: int | None = None, method: str = "") -> None:
        """Calls `on_error` for an error that a method raises.

        status: of the answer; None without one. method: empty for the one within which this is called.
        """
        if self.hooks.on_error is not None and not is_expected(fault):
            context = ErrorContext(method or method_called(), path.partition("?")[0], status)
            await observe(self.hooks.on_error, fault, context)

    def method(self) -> str:
        """The client's method that is called, where that may be reported: looked up before anything is awaited."""
        return method_called() if self.hooks.on_error is not None else ""

    async def _retried(self, event: RetryEvent) -> None:
        for on_retry in (self._retries.on_retry, self.hooks.on_retry):
            if on_retry is not None:
                await observe(on_retry, event)

    async def stream(
        self,
        operation: Operation[Req, Res],
        request: Req,
        opened: Callable[[], None] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[Res, None]:
        """The answers of a streaming operation as they come. Close it to cancel the request.

        opened: called once the server has accepted the request, before the first answer. timeout_s: until then; None
        for the client's own.
        Raises what the server raised, before or between answers; ConnectionLost when the connection broke.
        """
        if not isinstance(self.transport, AsyncStreaming):
            raise Unimplemented(f"{operation.name} is a stream, and this client's transport holds no answer open.")
        codec = self.codec
        if codec is not None:
            request = encoded_request(request, codec)
        ask = message_stream.stream_request(operation, request)
        headers = {**self._headers, **ask.headers}
        parts = self.transport.stream(ask.method, ask.path, headers, ask.body, timeout_s or self._timeout_s)
        try:
            async with aclosing(parts):
                async for part in parts:
                    if opened is not None:
                        opened()
                        opened = None
                    for message in ask.messages.feed(part):
                        yield message if codec is None else codec.decoded_message(message)
        except Refused as refusal:
            raise error_in(refusal.answer) from None
        ask.messages.check_ended()

    async def follow(
        self,
        operation: Operation[Req, Res],
        request: Req,
        moved: Callable[[Req, Res], Req],
        on_error: Callable[[IronflowError], object] | None = None,
        reconnect: Reconnect | None = None,
    ) -> AsyncGenerator[Res, None]:
        """As `stream`, for ever: asks again by itself when the connection breaks.

        moved: the request that continues after an answer. on_error: sees every failure after which it asks again.
        reconnect: None for the client's own. Raises what asking again cannot mend.
        """
        reconnect = reconnect or self.reconnect
        method = self.method()
        failures = 0

        def opened() -> None:
            nonlocal failures
            failures = 0

        while True:
            try:
                stream = self.stream(operation, request, opened, reconnect.connect_timeout_s)
                async with aclosing(stream) as answers:
                    async for answer in answers:
                        request = moved(request, answer)
                        yield answer
                pause_s = 0.0
            except IronflowError as fault:
                failures += 1
                pause_s = await self._pause_after(fault, failures, reconnect, on_error, path_of(operation), method)
            await sleep(pause_s)

    async def call_reconnecting(
        self,
        operation: Operation[Req, Res],
        request: Req,
        on_error: Callable[[IronflowError], object] | None = None,
        reconnect: Reconnect | None = None,
    ) -> Res:
        """As `call`, within what follows the server: asks again as long as that connects again.

        on_error: sees every failure after which it asks again. Raises what asking again cannot mend.
        """
        reconnect = reconnect or self.reconnect
        method = self.method()
        failures = 0
        while True:
            try:
                with expecting(IronflowError):
                    return await self.call(operation, request, method=method)
            except IronflowError as fault:
                failures += 1
                pause_s = await self._pause_after(fault, failures, reconnect, on_error, path_of(operation), method)
            await sleep(pause_s)

    async def _pause_after(
        self,
        fault: IronflowError,
        failures: int,
        reconnect: Reconnect,
        on_error: Callable[[IronflowError], object] | None,
        path: str,
        method: str,
    ) -> float:
        """Seconds to rest before it asks again. Reports and raises what asking again cannot mend."""
        pause_s = None if isinstance(fault, CannotDecode) else decide_reconnect(fault, failures, reconnect)
        if pause_s is None:
            await self.report(fault, path, method=method)
            raise fault
        if on_error is not None:
            await observe(on_error, fault)
        return pause_s

    async def pages(
        self, operation: Operation[Req, Res], request: Req, *, timeout: Duration | None = None
    ) -> AsyncIterator[Res]:
        """Every page of a list: calls again with the answer's `next_cursor` until there is none."""
        while True:
            page: Any = await self.call(operation, request, timeout=timeout)
            yield page
            if not page.next_cursor:
                return
            request = msgspec.structs.replace(request, cursor=page.next_cursor)
