"""Question: how many three-step executions a second at an endpoint, and how long from the event to the result?

Method: as in `workflows` and `latency`, with a function of `worker` served by `ironflow.serve`, in a process of
its own: each step is recorded by a call back before the handler goes on.
"""

import asyncio
import sys

from benchmarks.answers import Figure
from benchmarks.load import Measured
from benchmarks.processes import Workspace
from benchmarks.workflows import orders
from ironflow.base.settings import Settings
from ironflow.serve import register, serve
from ironflow.server.http_servers import http_server

IN_FLIGHT = 64
SECONDS = 6.0


async def serve_functions(address: str) -> None:
    """The endpoint's process; writes one JSON line once its function is registered."""
    from benchmarks.worker import three_steps

    served = serve([three_steps], server_url=address, skip_verification=True)
    http = http_server(served, Settings(port=0, dev=True))  # pyright: ignore[reportArgumentType]
    ready = asyncio.Event()
    serving = asyncio.create_task(http.serve(ready.set))
    await ready.wait()
    await register(served, f"{http.address}/api/ironflow", server_url=address)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    await serving


async def run(workspace: Workspace) -> list[Figure]:
    _, address = await workspace.server()
    endpoint = workspace.start(["benchmarks.push", address])
    await endpoint.announced()
    alone: Measured = await orders(address, 1, SECONDS)
    busy: Measured = await orders(address, IN_FLIGHT, SECONDS)
    return [
        Figure(name="three-step push executions", value=busy.per_second, unit="/s", target=500),
        Figure(name="start to result p50", value=alone.percentile(50), unit="ms", target=12, better="less"),
        Figure(name="start to result p99", value=alone.percentile(99), unit="ms", better="less"),
    ]


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve_functions(sys.argv[1]))
