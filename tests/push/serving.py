"""ASGI applications on real sockets within the test's event loop: the server, and a user's application."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ironflow.base.settings import Settings
from ironflow.base.spelling import message_to_json
from ironflow.features.functions import contract as functions_contract
from ironflow.sdk.serve.landing import push_registration
from ironflow.serve import ServeHandler
from ironflow.server.http_servers import http_server
from ironflow.worker import FunctionDefinition
from tests.support.work import Work


@asynccontextmanager
async def listening(app: Any, **settings: Any) -> AsyncIterator[str]:
    """The address of an application that is served."""
    http = http_server(app, Settings(port=0, dev=True, shutdown_ms=2_000, **settings))
    ready = asyncio.Event()
    serving = asyncio.create_task(http.serve(ready.set))
    await ready.wait()
    try:
        yield http.address
    finally:
        http.stop()
        await serving


@asynccontextmanager
async def served(
    server: Work, functions: Sequence[FunctionDefinition], *, checkpoints: bool = True, **more: Any
) -> AsyncIterator[ServeHandler]:
    """Functions served at an endpoint, and registered. checkpoints: as by our `register`, else as existing clients."""
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(listening(server.inside.app))
        server.inside.parts.address = address
        # With a call back, the server's address comes with each request.
        url = None if checkpoints else address
        handler = ServeHandler(functions, clock=server.clock, server_url=url, **more)
        endpoint = await stack.enter_async_context(listening(handler))
        for each in functions:
            registration = push_registration(each, f"{endpoint}/api/ironflow")
            registration.push_checkpoints = checkpoints
            await server.ask(functions_contract.register, message_to_json(registration))
        try:
            yield handler
        finally:
            await handler.close()
