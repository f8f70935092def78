"""A user's endpoint on a real socket, whose answers the test decides; and a server that may call it.

async with an_endpoint(answer) as endpoint:
    await server.a_function(endpoint_url=endpoint.url)
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from ironflow.features.runs import contract as runs
from tests.support.work import Work

Answer = Callable[[dict[str, Any]], Any]
# As long as a test waits for something that happens at once.
SOON_S = 20.0


class Endpoint:
    """answer: makes the answer to a request: an object, a Response, or an awaitable of one."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.raw: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self.connections: set[Any] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.connections.add(request.transport)
        self.raw.append((dict(request.headers), body))
        self.requests.append(json.loads(body))
        made = self.answer(self.requests[-1])
        if isinstance(made, Awaitable):
            made = await made
        if isinstance(made, web.StreamResponse):
            return made
        return web.json_response(made)


@asynccontextmanager
async def an_endpoint(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(answer)
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoint.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    endpoint.url = f"{'https' if tls else 'http'}://{host}:{port}/api/ironflow"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


def completed(result: Any = None, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"status": "completed", "steps": list(steps), "result": result}


def step(request: dict[str, Any], name: str, output: Any = None) -> dict[str, Any]:
    return {
        "id": f"{request['run_id']}:{name}:0",
        "name": name,
        "type": "invoke",
        "status": "completed",
        "output": output,
    }


async def until(server: Work, run_id: str, *statuses: str) -> runs.Run:
    """The run once it has one of the statuses."""
    async with asyncio.timeout(SOON_S):
        while (run := await server.run(run_id)).status.value not in statuses:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return run


async def eventually(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(SOON_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
