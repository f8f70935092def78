"""`parallel(..., until="first_success")` with workers and in a time machine: the same answer, and the same undone."""

from typing import Any

import pytest

from ironflow import Retry, function
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.wire.server_process import a_server


class Couriers:
    """Three couriers: one sleeps for ever, one has a child that does, one is confirmed by an event."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def body(self, name: str) -> str:
        self.bodies.append(name)
        return name

    def functions(self) -> list[FunctionDefinition]:
        async def book(steps: Any, name: str) -> None:
            await steps.run("book", self.body, f"book {name}")
            steps.compensate("book", lambda: self.body(f"undo {name}"))

        async def sleeper(steps: Any) -> str:
            await book(steps, "sleeper")
            await steps.sleep("rest", "300d")
            return "sleeper"

        async def parent(steps: Any) -> str:
            await book(steps, "parent")
            return await steps.invoke("slow-courier", timeout="300d")

        async def confirmed(steps: Any) -> str:
            await book(steps, "confirmed")
            event = await steps.wait_for_event("confirmed", event="courier.confirmed", timeout="300d")
            return event.data

        @function("ship")
        async def ship(ctx: Any) -> list[str]:
            answer = await ctx.step.parallel("couriers", [sleeper, parent, confirmed], until="first_success")
            await ctx.step.sleep("nap", "20ms")
            return [answer, await ctx.step.run("hand over", self.body, "hand over")]

        @function("slow-courier")
        async def slow(ctx: Any) -> str:
            await ctx.step.sleep("rest", "300d")
            return "slow"

        return [ship, slow]


BOOKED = ["book confirmed", "book parent", "book sleeper"]


def check(couriers: Couriers, output: Any, steps: list[Any]) -> None:
    assert output == ["by bicycle", "hand over"]
    assert sorted(couriers.bodies[:3]) == BOOKED
    assert couriers.bodies[3:] == ["undo sleeper", "undo parent", "hand over"]
    stored = {step.step_id.partition(":")[2]: step.stored_status for step in steps}
    assert stored["couriers:0"] == "completed"
    assert stored["couriers:0:0:rest:0"] == "cancelled"
    assert stored["couriers:0:1:slow-courier:0"] == "cancelled"
    assert stored["couriers:0:1:compensate:book:0"] == "completed"


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_the_first_wins_and_the_others_are_cancelled_with_their_children(tmp_path: Any, kind: Any) -> None:
    couriers = Couriers()
    with a_server(tmp_path) as server:
        async with Client(server.address) as client, kind(couriers.functions(), url=server.address):
            run_id = (await client.invoke("ship")).run_id
            # Looked back for, when it comes before the wait.
            await client.emit("courier.confirmed", "by bicycle")
            run = await client.runs.wait(run_id, timeout=30)
            check(couriers, run.output, await client.runs.steps(run_id))
            (child,) = [each async for each in client.runs.list(parent_run_id=run_id)]
            assert (child.status, run.unasked_steps) == ("cancelled", None)


async def test_in_a_time_machine() -> None:
    couriers = Couriers()
    async with time_machine(couriers.functions()) as machine:
        run = await machine.invoke("ship")
        assert (run.state, sorted(couriers.bodies)) == ("waiting", BOOKED)
        await machine.emit("courier.confirmed", "by bicycle")
        await machine.advance("1s")
        check(couriers, run.output, run.steps)


async def test_a_compensation_of_a_branch_is_tried_again_by_the_next_attempt() -> None:
    failures = ["once"]
    undone: list[str] = []

    def undo() -> None:
        undone.append("tried")
        if failures:
            failures.pop()
            raise ConnectionError("the line is dead")

    @function("ship", retry=Retry(max_attempts=3, initial_delay="1m"))
    async def ship(ctx: Any) -> str:
        async def loses(steps: Any) -> None:
            await steps.run("book", lambda: "a")
            steps.compensate("book", undo)
            await steps.sleep("rest", "1d")

        async def wins(steps: Any) -> str:
            await steps.sleep("rest", "1m")
            return await steps.run("book", lambda: "b")

        return await ctx.step.parallel("couriers", [loses, wins], until="first_success")

    async with time_machine([ship]) as machine:
        run = await machine.invoke("ship")
        await machine.advance("1m")
        assert (run.state, run.reason, undone) == ("waiting", "retry", ["tried"])
        await machine.advance("2m")
        assert (run.state, run.output, undone) == ("completed", "b", ["tried", "tried"])


async def test_in_a_test_client() -> None:
    undone: list[str] = []

    @function("ship")
    async def ship(ctx: Any) -> str:
        async def courier(steps: Any, name: str, rest: str) -> str:
            await steps.run("book", lambda: name)
            steps.compensate("book", lambda: undone.append(name))
            await steps.sleep("rest", rest)
            return name

        branches = [lambda s: courier(s, "slow", "1h"), lambda s: courier(s, "quick", "1m")]
        return await ctx.step.parallel("couriers", branches, until="first_success")

    run = await TestClient(functions=[ship], strict=False).invoke("ship")
    assert (run.output, undone, run.compensations) == ("quick", ["slow"], ["book"])
