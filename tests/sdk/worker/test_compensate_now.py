"""`ctx.step.compensate_now()` undoes what is registered, and the run goes on."""

from typing import Any

import pytest

from ironflow import NonRetryableError, Retry, function
from ironflow.sdk.client.client import Client
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.wire.server_process import a_server


class Trip:
    """Books two things, undoes them, books a third, and fails. failures: how often undoing the car fails."""

    def __init__(self, failures: int = 0) -> None:
        self.undone: list[str] = []
        self.failures = failures

    def undo(self, name: str) -> None:
        if name == "car" and self.failures:
            self.failures -= 1
            raise ConnectionError("the line is dead")
        self.undone.append(name)

    async def handler(self, ctx: Any) -> None:
        for name in ("hotel", "car"):
            await ctx.step.run(name, lambda name=name: name)
            ctx.step.compensate(name, lambda name=name: self.undo(name))
        await ctx.step.compensate_now()
        await ctx.step.sleep("nap", "20ms")
        await ctx.step.run("train", lambda: "train")
        ctx.step.compensate("train", lambda: self.undo("train"))
        raise NonRetryableError("the strike goes on")


async def test_what_is_registered_is_undone_once_and_the_run_goes_on() -> None:
    trip = Trip()
    async with time_machine([function("trip")(trip.handler)]) as machine:
        run = await machine.invoke("trip")
        assert (run.state, trip.undone) == ("waiting", ["car", "hotel"])
        await machine.advance("1s")
        assert (run.state, trip.undone) == ("failed", ["car", "hotel", "train"])
        assert run.compensations == ["car", "hotel", "train"]
    trip.undone.clear()
    run = await TestClient(functions=[function("trip")(trip.handler)], strict=False).invoke("trip")
    assert trip.undone == ["car", "hotel", "train"]


async def test_a_compensation_that_fails_is_tried_again_by_the_next_attempt() -> None:
    trip = Trip(failures=1)
    definition = function("trip", retry=Retry(max_attempts=3, initial_delay="1m"))(trip.handler)
    async with time_machine([definition]) as machine:
        run = await machine.invoke("trip")
        assert (run.state, run.reason, trip.undone) == ("waiting", "retry", ["hotel"])
        await machine.advance("2m")
        assert (run.state, run.attempt, trip.undone) == ("failed", 2, ["hotel", "car", "train"])


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_with_workers_and_a_plain_handler(tmp_path: Any, kind: Any) -> None:
    undone: list[str] = []

    @function("plain")
    def plain(ctx):
        ctx.step.run("hotel", lambda: 1)
        ctx.step.compensate("hotel", lambda: undone.append("hotel"))
        ctx.step.compensate_now()
        ctx.step.sleep("nap", "20ms")
        return list(undone)

    with a_server(tmp_path) as server:
        async with Client(server.address) as client, kind([plain], url=server.address):
            run = await client.runs.wait((await client.invoke("plain")).run_id, timeout=20)
    assert (run.output, undone) == (["hotel"], ["hotel"])
