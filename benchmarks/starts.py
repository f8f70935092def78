"""Question: how long does a step take that starts 10,000 runs with `start_many`?

Method: one event starts a run that starts 10,000 runs of an empty function and ends; the time runs from the event to
its result, so that all starts are durable. The same worker process (200 slots) executes the runs meanwhile, and server,
worker and client share the machine; the server's processor time beside it includes those executions.
"""

import json
import time

from benchmarks.answers import Figure
from benchmarks.load import ClosedLoop, Reply, request_of
from benchmarks.processes import Workspace
from benchmarks.worker import START

RUNS = 10_000


async def run(workspace: Workspace) -> list[Figure]:
    """Raises RuntimeError for a wrong response."""
    server, address = await workspace.server()
    await workspace.worker(address)
    body = json.dumps({"event": START, "data": {"count": RUNS}, "timeout_ms": 120_000}).encode()
    request = request_of("POST", "/api/v1/events/sync", body)

    def is_done(reply: Reply) -> bool:
        return reply.status == 200 and json.loads(reply.body)["results"][0]["output"] == RUNS

    before, begun = server.cpu_seconds(), time.perf_counter()
    await ClosedLoop(address, 1, lambda _: request, is_done).run(120, 1)
    seconds, spent_s = time.perf_counter() - begun, server.cpu_seconds() - before
    return [
        Figure(name=f"start of {RUNS} runs", value=seconds, unit="s", target=10, better="less"),
        Figure(name="processor time of the server meanwhile", value=spent_s, unit="s", better="less"),
    ]
