"""What a handler logs is read back from the server, from every kind of worker."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ironflow import function
from ironflow.sdk.client.client import Client
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.wire.server_process import Server, a_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
@pytest.mark.parametrize("checkpoint", ["each", "batched"])
async def test_a_follower_reads_lines_while_a_step_runs(
    server: Server, kind: Callable[..., Any], checkpoint: Any
) -> None:
    go_on = asyncio.Event()

    @function(f"logs-{kind.__name__}-{checkpoint}".lower(), checkpoint=checkpoint)
    async def handler(ctx: Any) -> None:
        async def body() -> None:
            ctx.logger.info("in the step", extra={"amount": 5})
            await go_on.wait()

        ctx.logger.debug("of no interest")
        ctx.logger.warning("in the handler")
        await ctx.step.run("charge", body)
        ctx.logger.info("at the end")

    async with kind([handler], url=server.address), Client(server.address) as client:
        run_id = (await client.invoke(handler.id)).run_id
        found: list[tuple[str, str, str | None]] = []
        async for line in client.runs.logs(run_id, follow=True):
            found.append((line.level, line.message, line.step_name))
            if line.message == "in the step":
                # Not before: the run goes on only when the line was read.
                go_on.set()

    assert found == [
        ("warn", "in the handler", None),
        ("info", "in the step", "charge"),
        ("info", "at the end", None),
    ]


async def test_lines_of_a_handler_are_kept_once_over_its_executions() -> None:
    @function("replayed")
    def handler(ctx: Any) -> None:
        ctx.logger.info("begin")
        ctx.step.run("charge", lambda: ctx.logger.info("charging"))
        ctx.logger.info("charged")
        ctx.step.sleep("rest", "1h")
        ctx.logger.info("end")

    async with time_machine([handler]) as machine:
        run = await machine.invoke(handler)
        await machine.advance("2h")
        found = [(line.message, line.execution_seq) async for line in machine.client.runs.logs(run.id)]

    assert found == [("begin", 1), ("charging", 1), ("charged", 1), ("end", 2)]


async def test_a_step_that_is_tried_again_has_the_lines_of_each_attempt() -> None:
    @function("tried", retry={"max_attempts": 2, "initial_delay": "1s"})
    async def handler(ctx: Any) -> None:
        async def body() -> None:
            ctx.logger.info("attempt %d", ctx.run.attempt)
            if ctx.run.attempt == 1:
                raise ValueError("not yet")

        await ctx.step.run("charge", body)

    async with time_machine([handler]) as machine:
        run = await machine.invoke(handler)
        await machine.advance("1m")
        found = [(line.message, line.attempt) async for line in machine.client.runs.logs(run.id, step="charge")]

    assert found == [("attempt 1", 1), ("attempt 2", 2)]
