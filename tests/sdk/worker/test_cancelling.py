"""`on_cancel="compensate"` with workers, in a time machine and in a test client: undone once, then cancelled."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ironflow import NonRetryableError, Retry, StepError, function
from ironflow.base.errors import DeadlineExceeded, InvalidArgument, Unimplemented
from ironflow.features.server_state import service as server_state
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition, InvalidFunction
from ironflow.sdk.durable.job.report import Failed, Yielded
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.sdk.durable.jobs import an_execution, outputs
from tests.support.waiting import LOOK_EVERY_S
from tests.wire.server_process import Server, a_server

QUICK = Retry(max_attempts=3, initial_delay="20ms", max_delay="20ms")
KINDS = pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])


class Trip:
    """Books a hotel and a car, and waits for an approval. failures: how often undoing the car fails."""

    def __init__(self, failures: int = 0) -> None:
        self.bodies: list[str] = []
        self.failures = failures

    def body(self, name: str) -> str:
        self.bodies.append(name)
        if name == "undo car" and self.failures:
            self.failures -= 1
            raise ConnectionError("the line is dead")
        return name

    async def handler(self, ctx: Any) -> None:
        for name in ("hotel", "car"):
            await ctx.step.run(name, self.body, name)
            ctx.step.compensate(name, lambda name=name: self.body(f"undo {name}"))
        await ctx.step.wait_for_event("approval", event="trip.approved")
        self.bodies.append("too far")


UNDONE = ["hotel", "car", "undo car", "undo hotel"]


def trip_of(trip: Trip, name: str = "trip", **settings: Any) -> FunctionDefinition:
    return function(name, on_cancel="compensate", retry=QUICK, **settings)(trip.handler)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.address) as client:
        yield client


async def waiting(client: Client, run_id: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        if (await client.runs.get(run_id)).state == "waiting: wait_event":
            return
        assert time.monotonic() < deadline, "it does not wait"
        await asyncio.sleep(LOOK_EVERY_S)


@pytest.mark.processes
@KINDS
async def test_a_run_that_waits_is_undone_and_waited_for(server: Server, client: Client, kind: Any) -> None:
    trip = Trip(failures=1)
    definition = trip_of(trip, f"waits-{kind.__name__}".lower())
    async with kind([definition], url=server.address):
        run_id = (await client.invoke(definition.id)).run_id
        await waiting(client, run_id)

        run = await client.runs.cancel(run_id, reason="rain", wait=True, timeout="30s")

        assert (run.status, run.cancellation_cause) == ("cancelled", "rain")
        assert run.cancel_requested is not None
        assert trip.bodies == [*UNDONE, "undo car"]
        found = {step.name: (str(step.status), step.attempt) for step in await client.runs.steps(run_id)}
        assert found["compensate:car"] == ("completed", 2)
        assert found["compensate:hotel"] == ("completed", 1)


@pytest.mark.processes
@KINDS
@pytest.mark.parametrize("sync", [False, True], ids=["async", "thread"])
async def test_a_body_that_runs_is_cancelled_and_what_was_done_is_undone(
    server: Server, client: Client, kind: Any, sync: bool
) -> None:
    begun, ended, undone = asyncio.Event(), [], []
    loop = asyncio.get_running_loop()

    def block(ctx: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        ended.append(ctx.cancellation.wait(30))

    async def forever(ctx: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    @function(f"busy-{kind.__name__}-{sync}".lower(), on_cancel="compensate")
    async def busy(ctx: Any) -> None:
        await ctx.step.run("hotel", lambda: "booked")
        ctx.step.compensate("hotel", lambda: undone.append(("hotel", list(ended))))
        # Of what is cut off in the middle, nothing is recorded: it is registered before.
        ctx.step.compensate("car", lambda: undone.append(("car", list(ended))))
        await ctx.step.run("car", block if sync else forever, ctx)

    async with kind([busy], url=server.address):
        run_id = (await client.invoke(busy.id)).run_id
        async with asyncio.timeout(30):
            await begun.wait()

        run = await client.runs.cancel(run_id, wait=True, timeout="60s")

    assert run.status == "cancelled"
    # The compensations begin when the body has ended.
    assert undone == [("car", [True]), ("hotel", [True])]
    assert [step.name for step in await client.runs.steps(run_id)] == ["hotel", "compensate:car", "compensate:hotel"]


@pytest.mark.processes
async def test_force_ends_compensations_that_run(server: Server, client: Client) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def hangs() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    @function("hangs", on_cancel="compensate")
    async def handler(ctx: Any) -> None:
        await ctx.step.run("hotel", lambda: "booked")
        ctx.step.compensate("hotel", hangs)
        await ctx.step.wait_for_event("approval", event="never")

    async with Worker([handler], url=server.address):
        run_id = (await client.invoke("hangs")).run_id
        await waiting(client, run_id)
        with pytest.raises(DeadlineExceeded):
            await client.runs.cancel(run_id, wait=True, timeout="100ms")
        async with asyncio.timeout(30):
            await begun.wait()
        assert (await client.runs.get(run_id)).state == "cancelling"

        assert (await client.runs.cancel(run_id, force=True)).status == "cancelled"

        async with asyncio.timeout(30):
            await stopped.wait()


async def test_in_a_time_machine() -> None:
    trip = Trip(failures=1)
    async with time_machine([trip_of(trip)]) as machine:
        run = await machine.invoke("trip")
        await machine.client.runs.cancel(run.id, reason="rain")
        await machine.advance("10ms")
        assert (run.state, trip.bodies) == ("cancelling", UNDONE)
        await machine.advance("1s")
        assert (run.state, trip.bodies) == ("cancelled", [*UNDONE, "undo car"])
        assert (run.info.cancellation_cause, run.compensations) == ("rain", ["car", "hotel"])


async def test_a_handler_that_cancels_its_own_run_in_a_time_machine() -> None:
    undone: list[str] = []

    @function("own", on_cancel="compensate")
    async def own(ctx: Any) -> str:
        await ctx.step.run("hotel", lambda: "booked")
        ctx.step.compensate("hotel", lambda: undone.append("hotel"))
        await ctx.step.run("gives up", machine.client.runs.cancel, ctx.run.id)
        return "too far"

    async with time_machine([own]) as machine:
        run = await machine.invoke("own")
        assert (run.state, undone) == ("cancelled", ["hotel"])


async def test_in_a_test_client() -> None:
    trip = Trip(failures=1)
    client = TestClient(functions=[trip_of(trip)], strict=False)
    run = await client.invoke("trip", cancel_at="approval")
    assert (run.status, run.compensations) == ("cancelled", ["car", "hotel"])
    assert trip.bodies == [*UNDONE, "undo car"]

    at_once = Trip()
    client = TestClient(functions=[function("trip")(at_once.handler)], strict=False)
    run = await client.invoke("trip", cancel_at="approval")
    assert (run.status, at_once.bodies) == ("cancelled", ["hotel", "car"])


async def test_a_test_client_refuses_a_wait_that_did_not_come() -> None:
    @function("short", on_cancel="compensate")
    async def short(ctx: Any) -> str:
        return await ctx.step.run("one", lambda: "done")

    with pytest.raises(InvalidArgument, match="completed without a wait in step 'approval'"):
        await TestClient(functions=[short], strict=False).invoke(short, cancel_at="approval")


# Compensations that use steps.


class Careful:
    """Undoes a hotel in steps: it asks, waits for a day, and refunds. failures: how often the refund fails."""

    def __init__(self, failures: int = 0) -> None:
        self.bodies: list[str] = []
        self.failures = failures

    def refund(self) -> str:
        self.bodies.append("refund")
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the bank is away")
        return "paid back"

    async def handler(self, ctx: Any) -> None:
        async def undo() -> list[Any]:
            asked = await ctx.step.run("ask", lambda: self.bodies.append("ask"))
            await ctx.step.sleep("a day", "1d")
            both = await ctx.step.parallel(
                "both", [lambda s: s.run("refund", self.refund), lambda s: s.run("mail", lambda: "sent")]
            )
            return [asked, both]

        await ctx.step.run("hotel", lambda: "booked")
        ctx.step.compensate("hotel", undo)
        await ctx.step.run("car", lambda: "booked")
        ctx.step.compensate("car", lambda: self.bodies.append("undo car"))
        await ctx.step.wait_for_event("approval", event="trip.approved", timeout="2h")


async def test_a_compensation_has_steps_and_waits_of_its_own_when_its_run_is_cancelled() -> None:
    trip = Careful(failures=1)
    async with time_machine([function("trip", on_cancel="compensate", retry=QUICK)(trip.handler)]) as machine:
        run = await machine.invoke("trip")
        await machine.client.runs.cancel(run.id)
        await machine.advance("1h")
        assert (run.state, trip.bodies) == ("cancelling", ["undo car", "ask"])
        await machine.advance("1d")
        await machine.advance("1d")
        assert (run.state, trip.bodies) == ("cancelled", ["undo car", "ask", "refund", "refund"])
        assert run.step_output("compensate:hotel") == [None, ["paid back", "sent"]]
        prefix = f"{run.id}:compensate:hotel:0"
        inner = [step.step_id.removeprefix(prefix) for step in run.steps if step.step_id.startswith(f"{prefix}:")]
        assert sorted(inner) == [":a day:0", ":ask:0", ":both:0:refund:0", ":both:1:mail:0"]


async def test_a_compensation_has_steps_and_waits_of_its_own_when_its_run_fails() -> None:
    trip = Careful()
    async with time_machine([function("trip", retry=QUICK)(trip.handler)]) as machine:
        run = await machine.invoke("trip")
        await machine.advance("3h")
        assert (run.state, trip.bodies) == ("waiting", ["undo car", "ask"])
        await machine.advance("1d")
        assert (run.state, trip.bodies) == ("failed", ["undo car", "ask", "refund"])
        assert run.error is not None
        assert run.error.code == "WAIT_TIMEOUT"


async def test_a_compensation_has_steps_of_its_own_in_a_test_client() -> None:
    trip = Careful(failures=2)
    definition = function("trip", on_cancel="compensate", retry=QUICK)(trip.handler)
    run = await TestClient(functions=[definition], strict=False).invoke("trip", cancel_at="approval")
    assert (run.status, trip.bodies) == ("cancelled", ["undo car", "ask", "refund", "refund", "refund"])


async def test_a_step_of_a_compensation_has_a_retry_of_its_own() -> None:
    trip = Trip(failures=2)

    @function("trip", on_cancel="compensate", retry=Retry(max_attempts=1))
    async def retrying(ctx: Any) -> None:
        async def undo() -> None:
            await ctx.step.run("call", trip.body, "undo car", retry=Retry(max_attempts=3, initial_delay="1m"))

        await ctx.step.run("car", lambda: "booked")
        ctx.step.compensate("car", undo)
        await ctx.step.wait_for_event("approval", event="never")

    async with time_machine([retrying]) as machine:
        run = await machine.invoke("trip")
        await machine.client.runs.cancel(run.id)
        await machine.advance("1s")
        assert (run.state, len(trip.bodies)) == ("cancelling", 1)
        await machine.advance("1h")
        assert (run.state, len(trip.bodies)) == ("cancelled", 3)
        assert run.step("compensate:car").status == "completed"


async def test_compensate_now_waits_in_the_steps_of_compensations() -> None:
    trip = Careful()

    async def handler(ctx: Any) -> str:
        async def undo() -> None:
            await ctx.step.run("ask", lambda: trip.bodies.append("ask"))
            await ctx.step.sleep("a day", "1d")

        await ctx.step.run("hotel", lambda: "booked")
        ctx.step.compensate("hotel", undo)
        await ctx.step.compensate_now()
        ctx.logger.info("undone")
        return await ctx.step.run("goes on", lambda: "on")

    async with time_machine([function("trip")(handler)]) as machine:
        run = await machine.invoke("trip")
        assert (run.state, trip.bodies) == ("waiting", ["ask"])
        await machine.advance("1d")
        assert (run.state, run.output, trip.bodies) == ("completed", "on", ["ask"])
        assert run.info.unasked_steps is None


async def test_a_plain_handler_has_steps_in_its_compensations() -> None:
    undone: list[str] = []

    @function("plain", on_cancel="compensate")
    def plain(ctx: Any) -> None:
        def undo() -> str:
            ctx.step.sleep("a day", "1d")
            return ctx.step.run("refund", lambda: undone.append("refund") or "paid")

        ctx.step.run("hotel", lambda: "booked")
        ctx.step.compensate("hotel", undo)
        ctx.step.wait_for_event("approval", event="never")

    async with time_machine([plain]) as machine:
        run = await machine.invoke("plain")
        await machine.client.runs.cancel(run.id)
        await machine.advance("2d")
        assert (run.state, undone, run.step_output("compensate:hotel")) == ("cancelled", ["refund"], "paid")


async def test_without_the_capability_a_compensation_that_waits_fails() -> None:
    async def handler(ctx: Any) -> None:
        async def undo() -> None:
            await ctx.step.run("ask", lambda: "asked")
            await ctx.step.sleep("a day", "1d")

        ctx.step.compensate("hotel", undo)
        raise NonRetryableError("no")

    execution = an_execution(handler)
    outcome = await execution.run()

    assert isinstance(outcome, Failed)
    (failed,) = [row for row in execution.rows if row.type == "compensate"]
    assert failed.error.code == Unimplemented.code  # pyright: ignore[reportAttributeAccessIssue]
    assert outputs(execution) == {"r:compensate:hotel:0:ask:0": "asked"}


async def test_a_compensation_of_a_failing_execution_that_waits_leaves_that_to_the_next() -> None:
    async def handler(ctx: Any) -> None:
        ctx.step.compensate("hotel", lambda: None)

        async def undo() -> None:
            await ctx.step.sleep("a day", "1d")

        ctx.step.compensate("car", undo)
        raise NonRetryableError("no")

    features = frozenset({"cancels-clean-up"})
    outcome = await an_execution(handler, features=features).run()
    assert isinstance(outcome, Failed)
    assert outcome.uncompensated

    again = an_execution(
        handler, features=features, compensating={"message": "no"}, done={"r:compensate:hotel:0": None}
    )
    left = await again.run()
    assert isinstance(left, Yielded)
    assert [step.step_id for step in left.steps] == ["r:compensate:car:0:a day:0"]


async def test_the_failure_of_a_step_in_a_compensation_is_tried_again_with_it() -> None:
    async def handler(ctx: Any) -> None:
        async def undo() -> None:
            await ctx.step.run("refund", refund)

        ctx.step.compensate("car", undo)
        raise NonRetryableError("no")

    def refund() -> None:
        raise ConnectionError("away")

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert outcome.caused_by == ("r:compensate:car:0:refund:0",)
    assert outcome.uncompensated_steps == ("r:compensate:car:0",)


# Registration.


def test_settings_that_no_server_accepts_are_refused() -> None:
    with pytest.raises(InvalidFunction, match="on_cancel is end or compensate"):
        function("f", on_cancel="undo")(Trip().handler)  # pyright: ignore[reportArgumentType]
    assert trip_of(Trip()).registration().compensate_on_cancel


@pytest.mark.processes
async def test_a_server_without_the_capability_is_not_given_such_a_function(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        plain = Worker([trip_of(Trip(), "plain-trip")], url=server.address, plain_protocol=True)
        with pytest.raises(Unimplemented, match="on_cancel='compensate'"):
            await stack.enter_async_context(plain)
    assert "cancels-clean-up" in server_state.FEATURES


async def test_a_step_error_of_a_compensation_names_its_body() -> None:
    async def handler(ctx: Any) -> str:
        async def undo() -> None:
            raise KeyError("gone")

        ctx.step.compensate("car", undo)
        try:
            await ctx.step.compensate_now()
        except StepError as error:
            return error.error_class
        return "none"

    async with time_machine([function("f")(handler)]) as machine:
        assert (await machine.invoke("f")).output == "KeyError"
