"""Push mode: functions of a web application, called by the server: `from ironflow.serve import serve`.

app = serve([process_order], signing_key=...)      # an ASGI application; app.wsgi(), app.lambda_handler() beside it
await register(app, "https://shop.example/api/ironflow")
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ironflow.base.signature import Keys
from ironflow.sdk.client.views import Registered
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.serve.handler import ServeHandler
from ironflow.sdk.serve.responses import Headers, ServeResponse
from ironflow.sdk.user_code.logs import LoggerChoice
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.upcasting import UpcasterRegistry

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = [
    "ServeHandler",
    "ServeResponse",
    "create_handler",
    "handle",
    "lambda_handler",
    "register",
    "serve",
    "wsgi",
]


def serve(
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
    tracer_provider: "TracerProvider | None" = None,
    codec: Codec | None = None,
) -> ServeHandler:
    """A handler that serves functions to a server; also an ASGI application.

    signing_key: the key, or the new and the old one while it is being replaced; None takes IRONFLOW_SIGNING_KEY.
    Without a key, unsigned requests are taken, with one warning. skip_verification: take every request.
    webhooks: served at `.../webhooks/<id>`. upcasters: bring old events to their latest versions.
    server_url: where steps are recorded, messages published and events of webhooks emitted; None takes
    IRONFLOW_SERVER_URL, and steps are then recorded at the address that the request has. environment: None takes
    IRONFLOW_ENV. logger: anything with debug, info, warning and error, also of `ctx.logger`; False for none, None for
    `logging`. projections: registered by `register`; a worker must run them. tracer_provider: of OpenTelemetry; None
    takes the global one, where the program has set one.
    codec: encodes what the server stores
    of the users' data; functions whose settings have the server read data are refused.
    Raises InvalidFunction, InvalidArgument, UpcasterChainError.
    """
    return ServeHandler(
        functions,
        signing_key=signing_key,
        skip_verification=skip_verification,
        upcasters=upcasters,
        webhooks=webhooks,
        server_url=server_url,
        api_key=api_key,
        environment=environment,
        projections=projections,
        logger=logger,
        tracer_provider=tracer_provider,
        codec=codec,
    )


create_handler = serve


async def handle(
    served: ServeHandler, method: str, path: str, headers: Headers, body: bytes | str = b""
) -> ServeResponse:
    """The response to one HTTP request, for hosts of any kind; the same as `served.handle(...)`."""
    return await served.handle(method, path, headers, body)


def wsgi(served: ServeHandler) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The WSGI application of a handler."""
    return served.wsgi()


def lambda_handler(served: ServeHandler) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """The AWS Lambda handler of a handler."""
    return served.lambda_handler()


async def register(
    served: ServeHandler,
    url: str,
    *,
    server_url: str | None = None,
    api_key: str | None = None,
    environment: str | None = None,
) -> Sequence[Registered]:
    """Registers what `served` serves, as push functions at `url`; `ironflow register URL` does the same from outside.

    Raises the error of the server, ConnectionLost or DeadlineExceeded.
    """
    from ironflow.sdk.serve.registering import register_served

    return await register_served(served, url, server_url, api_key, environment)
