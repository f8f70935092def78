"""`serve(...)`: one framework-free handler for push requests, webhooks and the landing page, and its adapters."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from ironflow.base.errors import (
    InvalidArgument,
    IronflowError,
    MethodNotAllowed,
    PayloadTooLarge,
    SerializationError,
)
from ironflow.base.signature import HEADER, Keys, SignatureError, verify
from ironflow.base.time import Clock, SystemClock
from ironflow.base.trace_context import TraceContext, of_mapping
from ironflow.features.functions.contract import FunctionNotFound, InvalidFunction
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.execution import Execution, trace_of
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.failure import run_failure
from ironflow.sdk.durable.job.report import Failed, Outcome
from ironflow.sdk.durable.steps.awaiting import StepNotAwaited
from ironflow.sdk.durable.steps.publish import Publish, nowhere
from ironflow.sdk.durable.steps.signals import Stopped
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.serve.by_address import ByAddress
from ironflow.sdk.serve.callbacks import PLAIN, Callbacks
from ironflow.sdk.serve.landing import landing_json, landing_page
from ironflow.sdk.serve.messages import Callback, Request, answer_of, read_request
from ironflow.sdk.serve.responses import BODY_BYTES_MAX, Headers, ServeResponse
from ironflow.sdk.user_code.logs import LoggerChoice, chosen_logger, logging_to
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.upcasting import UpcasterRegistry
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.tracing import Tracing
from ironflow.sdk.wire.transport import AiohttpTransport
from ironflow.sdk.worker.codec_fit import check_codec
from ironflow.sdk.worker.held_job import HeldJob
from ironflow.sdk.worker.protocol import ENTITIES, WorkerProtocol
from ironflow.sdk.worker.timing import WorkerTiming

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from ironflow.sdk.client.client import Client
    from ironflow.sdk.worker.run_clients import RunClients

_JSON = {"content-type": "application/json"}
# Without a call back, steps are in the answer alone.
_NO_CHECKPOINTS = WorkerTiming(checkpoint=0)
_TIMING = WorkerTiming()
_WEBHOOKS = "/webhooks/"


class ServeHandler:
    """Serves functions to a server that calls. Make it with `serve(...)`.

    It is an ASGI application; `wsgi()`, `lambda_handler()`, `cloud_function()`, `django_view()` and `vercel()` are the
    same for other hosts, `handle(...)` for any.
    """

    def __init__(
        self,
        functions: Sequence[FunctionDefinition],
        *,
        signing_key: Keys | None = None,
        skip_verification: bool = False,
        upcasters: UpcasterRegistry | None = None,
        webhooks: Sequence[Any] = (),
        server_url: str | None = None,
        api_key: str | None = None,
        environment: str | None = None,
        projections: Sequence[ProjectionDefinition] = (),
        logger: LoggerChoice = None,
        clock: Clock | None = None,
        tracer_provider: "TracerProvider | None" = None,
        codec: Codec | None = None,
    ) -> None:
        self.functions = _by_id(functions)
        if codec is not None:
            check_codec(self.functions.values(), projections)
        self._codec = codec
        self.projections = list(projections)
        self._logger = chosen_logger(logger)
        self.logger = self._logger or logging.getLogger("ironflow.serve")
        self._keys: Keys = signing_key or os.environ.get("IRONFLOW_SIGNING_KEY") or ""
        self._skip_verification = skip_verification
        if upcasters is not None:
            upcasters.check()
        self._upcasters = upcasters
        self._webhooks = {each.id: each for each in webhooks}
        if len(self._webhooks) < len(webhooks):
            raise InvalidArgument("two webhooks have the same id.")
        self._configured_url = (server_url or os.environ.get("IRONFLOW_SERVER_URL") or "").rstrip("/")
        self._endpoint = Endpoint.resolve(server_url, api_key, environment)
        self._clock = clock or SystemClock()
        self._tracer_provider = tracer_provider
        self._tracing = Tracing(tracer_provider)
        self._callbacks = Callbacks(self._configured_url, self._endpoint.headers())
        self._publishers: ByAddress[tuple[AiohttpTransport, Publish]] = ByAddress()
        self._forwarders: ByAddress[Client] = ByAddress()
        # By address and environment.
        self._of_runs: ByAddress[tuple[AiohttpTransport, RunClients]] = ByAddress()
        self._warned = False
        # Functions with a step that is never awaited, which the log has named.
        self._unawaited: set[str] = set()
        if self.projections:
            self.logger.warning(
                "projections need a worker", extra={"projections": [each.name for each in self.projections]}
            )

    # Any host.

    async def handle(self, method: str, path: str, headers: Headers, body: bytes | str = b"") -> ServeResponse:
        """The response to one HTTP request. Cancelling it gives the execution up.

        path: with or without the prefix that the handler is mounted at, and with the query, which some webhooks sign.
        headers: names in any case.
        body: exactly as it arrived, because that is what is signed.
        """
        whole = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
        named = {name.lower(): value for name, value in dict(headers).items()}
        try:
            with logging_to(self._logger):
                return await self._route(method.upper(), path, named, whole)
        except IronflowError as fault:
            return _refusal(fault)

    async def _route(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> ServeResponse:
        path = target.partition("?")[0]
        if _WEBHOOKS in path:
            return await self._webhook(unquote(path.rpartition(_WEBHOOKS)[2].strip("/")), method, headers, body, target)
        if method in ("GET", "HEAD"):
            return self._landing(headers, without_body=method == "HEAD")
        if method != "POST":
            raise MethodNotAllowed(f"This address takes POST of a server's push requests, and GET; not {method[:20]}.")
        if len(body) > BODY_BYTES_MAX:
            raise PayloadTooLarge(f"The body is {len(body)} bytes; {BODY_BYTES_MAX} is the limit.")
        self._verify(headers, body)
        request = read_request(body)
        function = self.functions.get(request.function_id)
        if function is None:
            raise FunctionNotFound(
                f"This endpoint has no function {request.function_id[:80]!r}; it has {', '.join(self.functions)}.",
                function_id=request.function_id,
            )
        if function.settings.entity is not None and not (request.ironflow and ENTITIES in request.ironflow.features):
            raise InvalidFunction(
                f"{function.id!r} is a handler of an entity, and this request is of a server that gives endpoints no "
                "states. Register it with `ironflow register` at a server that does, or run it on a worker."
            )
        return await self._execute(function, request, of_mapping(headers))

    def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises SignatureError and its kinds."""
        if self._skip_verification:
            return
        if self._keys:
            verify(body, headers.get(HEADER.lower()), self._keys, now=self._clock.now() / 1000)
        elif not self._warned:
            self._warned = True
            self.logger.warning("requests are not verified: set signing_key= or IRONFLOW_SIGNING_KEY")

    # Executions.

    def _on_unawaited(self, job: Assignment, fault: StepNotAwaited) -> None:
        if job.function_id not in self._unawaited:
            self._unawaited.add(job.function_id)
            about = {"function_id": job.function_id, "run_id": job.run_id, "error": fault.message}
            self.logger.warning("step never awaited", extra=about)

    async def _execute(
        self, function: FunctionDefinition, request: Request, trace: TraceContext | None
    ) -> ServeResponse:
        job, callback = request.assignment(trace), request.ironflow
        # Our own server adds a member `ironflow`: it takes call backs, which others do not.
        ours = callback is not None
        reporter = self._callbacks.reporter(callback.url) if callback is not None else PLAIN
        each = ours and function.checkpoint != "batched"
        held = HeldJob(job, reporter, _TIMING if ours else _NO_CHECKPOINTS, each, lambda lost, _: lost.drop())
        held.leased = True
        environment = (callback.environment if callback is not None else "") or self._endpoint.environment
        execution = Execution(
            function,
            job,
            clock=self._clock,
            environment=environment,
            on_recorded=held.recorded if ours else None,
            on_progress=held.progressed if ours else None,
            publish=self._publish(callback),
            clients=self._run_clients(callback),
            codec=self._codec,
            upcasters=self._upcasters,
            many_waits=ours,
            features=frozenset(callback.features) if callback is not None else frozenset(),
            trace=trace_of(self._tracing, job, environment),
            on_unawaited=partial(self._on_unawaited, job),
        )
        budget_s = callback.budget_ms / 1000 if callback is not None and callback.budget_ms else None
        held.task = running = asyncio.create_task(_run(held, execution))
        try:
            done, _ = await asyncio.wait((running,), timeout=budget_s)
            if not done or running.cancelled():
                # The server waits no longer, or the execution is another's: what is answered is not read.
                return self._dropped(job)
            return ServeResponse(200, dict(_JSON), _answer(held, running.result()))
        finally:
            held.close()
            if not running.done():
                held.drop()
                await asyncio.wait((running,))

    def _dropped(self, job: Assignment) -> ServeResponse:
        self.logger.info("execution dropped", extra={"run_id": job.run_id, "attempt": job.attempt})
        return ServeResponse(200, dict(_JSON), msgspec.json.encode({"status": "dropped", "job_id": job.job_id}))

    def _publish(self, callback: Callback | None) -> Publish:
        url = self._url_of(callback)
        if not url:
            return nowhere
        found = self._publishers.get(url)
        if found is None:
            endpoint = replace(self._endpoint, url=url)
            transport = AiohttpTransport(url)
            publish = WorkerProtocol(transport, endpoint, "push", _TIMING).publish
            found = self._publishers.put((transport, publish), url)
        return found[1]

    def _run_clients(self, callback: Callback | None) -> "RunClients | None":
        from ironflow.sdk.worker.run_clients import RunClients

        url = self._url_of(callback)
        if not url:
            return None
        environment = (callback.environment if callback is not None else "") or self._endpoint.environment
        found = self._of_runs.get(url, environment)
        if found is None:
            transport = AiohttpTransport(url)
            endpoint = replace(self._endpoint, url=url, environment=environment)
            clients = RunClients(endpoint, transport, self._tracer_provider, self._codec)
            found = self._of_runs.put((transport, clients), url, environment)
        return found[1]

    def _url_of(self, callback: Callback | None) -> str:
        """The server's address; empty when it is not known."""
        return self._configured_url or (callback.url.partition("/api/v1/")[0] if callback is not None else "")

    # Webhooks.

    async def _webhook(
        self, webhook_id: str, method: str, headers: Mapping[str, str], body: bytes, target: str
    ) -> ServeResponse:
        from ironflow.sdk.webhooks.receiving import receive

        url = f"{headers.get('x-forwarded-proto', 'https')}://{headers.get('host', '')}{target}"
        answer = await receive(self._webhooks, webhook_id, method, headers, body, self._forward, url=url)
        return ServeResponse(answer.status, dict(_JSON), msgspec.json.encode(answer.body))

    async def _forward(self, event: Any) -> Any:
        from ironflow.sdk.client.client import Client

        client = self._forwarders.get()
        if client is None:
            endpoint = self._endpoint
            client = Client(
                endpoint.url,
                api_key=endpoint.api_key or None,
                environment=endpoint.environment or None,
                tracer_provider=self._tracer_provider,
                codec=self._codec,
            )
            self._forwarders.put(client)
        return await client.webhooks.forward(event)

    # The landing page.

    def _landing(self, headers: Mapping[str, str], *, without_body: bool) -> ServeResponse:
        """Which functions are served. Their settings, for registering, are shown to signed requests alone."""
        if "application/json" not in headers.get("accept", ""):
            page = landing_page(self.functions.values(), list(self._webhooks)).encode()
            body, kind = page, {"content-type": "text/html; charset=utf-8"}
        else:
            with_settings = not self._keys or self._skip_verification
            if self._keys and HEADER.lower() in headers:
                self._verify(headers, b"")
                with_settings = True
            body = landing_json(self.functions.values(), self.projections, list(self._webhooks), with_settings)
            kind = dict(_JSON)
        return ServeResponse(200, kind, b"" if without_body else body)

    # The end.

    async def close(self) -> None:
        """Closes the connections of this event loop; for hosts without the lifespan of ASGI."""
        await self._callbacks.close()
        for transport, _ in (*self._publishers.pop_all(), *self._of_runs.pop_all()):
            await transport.close()
        for client in self._forwarders.pop_all():
            await client.close()

    # Adapters.

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        from ironflow.sdk.serve.asgi import serve_asgi

        await serve_asgi(self, scope, receive, send)

    def wsgi(self) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
        """The WSGI application."""
        from ironflow.sdk.serve.wsgi import wsgi_application

        return wsgi_application(self)

    def lambda_handler(self) -> Callable[[Any, Any], dict[str, Any]]:
        """The handler of an AWS Lambda function behind API Gateway (1.0 and 2.0), a function URL or a load balancer."""
        from ironflow.sdk.serve.serverless import lambda_handler

        return lambda_handler(self)

    def cloud_function(self) -> Callable[[Any], Any]:
        """An HTTP function of Google Cloud Functions, which gets a Flask request."""
        from ironflow.sdk.serve.serverless import cloud_function

        return cloud_function(self)

    def django_view(self) -> Callable[..., Any]:
        """A Django view, without CSRF tokens: requests are signed."""
        from ironflow.sdk.serve.serverless import django_view

        return django_view(self)

    def vercel(self) -> type:
        """The class `handler` of a Python function on Vercel."""
        from ironflow.sdk.serve.serverless import vercel_handler

        return vercel_handler(self)

    def __repr__(self) -> str:
        return f"<serve {', '.join(self.functions)}>"


def _answer(held: HeldJob, outcome: Outcome) -> bytes:
    """The answer with the last report; when it cannot be written, the run fails with the reason."""
    try:
        return answer_of(held.final_update(outcome), held.job)
    except SerializationError as fault:
        failed = Failed(run_failure(fault), uncompensated=True)
        return answer_of(held.final_update(failed, with_steps=False), held.job)


async def _run(held: HeldJob, execution: Execution) -> Outcome:
    """Runs the handler; cancelled when the run pauses or is another's."""
    try:
        outcome = await held.run(execution)
    except Stopped:
        raise asyncio.CancelledError from None
    await held.checkpoints_done()
    if held.dropped:
        raise asyncio.CancelledError
    return outcome


def _refusal(fault: IronflowError) -> ServeResponse:
    code = "METHOD_NOT_ALLOWED" if isinstance(fault, MethodNotAllowed) else fault.code
    status = 401 if isinstance(fault, SignatureError) else fault.status
    return ServeResponse(status, dict(_JSON), msgspec.json.encode({"error": {"message": fault.message, "code": code}}))


def _by_id(functions: Sequence[FunctionDefinition]) -> dict[str, FunctionDefinition]:
    """Raises InvalidFunction for what is no function, twice the same id, or a data type that cannot be read."""
    found: dict[str, FunctionDefinition] = {}
    for function in functions:
        if not isinstance(function, FunctionDefinition):
            raise InvalidFunction(f"{function!r} is no function. Write @function(...) above its handler.")
        if function.id in found:
            raise InvalidFunction(f"two functions are called {function.id!r}.")
        _ = function.read_data
        found[function.id] = function
    return found
