"""The minimum of an HTTP server: h2corn with an application that returns the body of the request.

python -m benchmarks.echo
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import uvloop
from h2corn import Config, Server


async def echo(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    body = (await receive()).get("body", b"")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    config: Any = Config(bind=(f"fd://{listening.fileno()}",), access_log=False, loop="uvloop", lifespan="off")
    server: Any = Server(echo, config)  # pyright: ignore[reportArgumentType, reportCallIssue]
    serving = asyncio.create_task(server.serve())
    await server.wait_started()
    print(json.dumps({"address": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(main())
