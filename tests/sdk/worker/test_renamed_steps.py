"""A step that is renamed under a run: the recorded one is named, where nothing else would show it."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ironflow import function
from ironflow.sdk.client.client import Client
from ironflow.sdk.durable.steps.alternatives import event, sleep
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.sdk.worker.test_cancels import eventually
from tests.wire.server_process import Server, a_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_a_recorded_step_that_the_new_code_does_not_ask_for_is_named(
    server: Server, kind: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    name = "charge"

    @function(f"renamed-{kind.__name__}".lower())
    async def handler(ctx: Any) -> None:
        await ctx.step.run(name, lambda: 1)
        await ctx.step.wait_for_event("answer", event=f"answered.{kind.__name__}")
        await ctx.step.wait_for_event("end", event=f"ended.{kind.__name__}")

    async with kind([handler], url=server.address), Client(server.address) as client:
        run_id = (await client.invoke(handler.id)).run_id

        async def waits_in(step: str) -> bool:
            return any(
                each.name == step and each.wait_event_name is not None and each.ended_at is None
                for each in await client.runs.steps(run_id)
            )

        await eventually(lambda: waits_in("answer"))
        assert (await client.runs.get(run_id)).unasked_steps is None
        name = "charge card"
        with caplog.at_level(logging.WARNING, "ironflow.worker"):
            await client.emit(f"answered.{kind.__name__}")
            await eventually(lambda: waits_in("end"))

        run, why = await client.runs.get(run_id), await client.runs.why(run_id)
        await client.runs.cancel(run_id)

    assert (run.unasked_steps, why.unasked_steps) == (["charge"], ["charge"])
    assert "Its handler did not ask for recorded steps: charge." in why.message
    assert "recorded steps were not asked for" in caplog.messages


async def test_in_a_time_machine() -> None:
    name = "charge"

    @function("renamed")
    async def handler(ctx: Any) -> None:
        await ctx.step.run(name, lambda: 1)
        await ctx.step.sleep("rest", "1h")

    async with time_machine([handler]) as machine:
        run = await machine.invoke(handler)
        name = "charge card"
        await machine.advance("2h")
        found = await machine.client.runs.get(run.id)

    assert (found.status, found.unasked_steps) == ("completed", ["charge"])


async def test_what_the_handler_did_not_need_is_no_unasked_step() -> None:
    @function("needs-not-all")
    async def handler(ctx: Any) -> None:
        await ctx.step.wait_any("first", answer=event("answered"), late=sleep("1h"), rest="leave")
        await ctx.step.map("each", range(3), lambda number, steps, index: steps.run("one", lambda: number))
        await ctx.step.sleep("rest", "3h")
        await ctx.step.run("end", lambda: 1)

    async with time_machine([handler]) as machine:
        run = await machine.invoke(handler)
        await machine.client.emit("answered")
        await machine.settle()
        await machine.advance("4h")
        found = await machine.client.runs.get(run.id)

    assert (found.status, found.unasked_steps) == ("completed", None)
