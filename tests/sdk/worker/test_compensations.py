"""A compensation that fails is tried again by its run's retry, and recorded like a step."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from ironflow import NonRetryableError, Retry, function
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.wire.server_process import Server, a_server

THREE = Retry(max_attempts=3, initial_delay="30ms", max_delay="30ms")
ENDED = {"flight": "failed", "compensate:hotel": "completed"}


class Trip:
    """A function that books a hotel and a car, cannot book a flight, and undoes what it did.

    failures: how often undoing the car fails. final: with an error that is not tried again.
    """

    def __init__(self, failures: int, *, final: bool = False) -> None:
        self.bodies: Counter[str] = Counter()
        self.failures, self.final = failures, final

    def body(self, name: str) -> str:
        self.bodies[name] += 1
        return name

    def cancel_car(self) -> None:
        if self.bodies["cancel car"] < self.failures:
            self.body("cancel car")
            raise NonRetryableError("the contract is closed") if self.final else ConnectionError("the line is dead")
        self.body("cancel car")

    async def handler(self, ctx: Any) -> None:
        for name, undo in (("hotel", lambda: self.body("cancel hotel")), ("car", self.cancel_car)):
            await ctx.step.run(name, self.body, name)
            ctx.step.compensate(name, undo)
        await ctx.step.run("flight", self.book_flight)

    def book_flight(self) -> None:
        self.body("flight")
        raise NonRetryableError("the plane is full")


CASES = pytest.mark.parametrize(
    ("failures", "final", "tries", "ends"),
    [
        (0, False, 1, "completed"),
        (1, False, 2, "completed"),
        (2, False, 3, "completed"),
        (9, False, 3, "failed"),
        (9, True, 1, "failed"),
    ],
    ids=["at once", "second", "third", "never", "final"],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.address) as client:
        yield client


def check(trip: Trip, tries: int, ends: str, run: Any, steps: list[Any]) -> None:
    assert (run.status, run.error.message) == ("failed", "the plane is full")
    assert trip.bodies == {"hotel": 1, "car": 1, "flight": 1, "cancel hotel": 1, "cancel car": tries}
    found = {step.name: (str(step.status), step.attempt) for step in steps}
    assert found["compensate:car"] == (ends, tries)
    assert found["compensate:hotel"] == ("completed", 1)


def trip_of(trip: Trip, name: str) -> FunctionDefinition:
    return function(name, retry=THREE)(trip.handler)


@pytest.mark.processes
@CASES
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_it_is_tried_again_by_the_retry_of_its_run(
    server: Server, client: Client, kind: Callable[..., Any], failures: int, final: bool, tries: int, ends: str
) -> None:
    trip = Trip(failures, final=final)
    definition = trip_of(trip, f"trip-{kind.__name__}-{failures}-{final}".lower())
    async with kind([definition], url=server.address):
        run_id = (await client.invoke(definition.id)).run_id
        run = await client.runs.wait(run_id, timeout=20)
        check(trip, tries, ends, run, await client.runs.steps(run_id))


@CASES
async def test_in_a_time_machine(failures: int, final: bool, tries: int, ends: str) -> None:
    trip = Trip(failures, final=final)
    async with time_machine([trip_of(trip, "trip")]) as machine:
        run = await machine.invoke("trip")
        assert trip.bodies["cancel car"] == 1
        await machine.advance("29ms")
        assert trip.bodies["cancel car"] == 1
        await machine.advance("1s")
        check(trip, tries, ends, run, list(run.steps))


@CASES
async def test_in_a_test_client(failures: int, final: bool, tries: int, ends: str) -> None:
    trip = Trip(failures, final=final)
    definition = trip_of(trip, "trip")
    run = await TestClient(functions=[definition], strict=False).invoke(definition)

    assert trip.bodies["cancel car"] == tries
    assert {step.name: step.status for step in run.steps}["compensate:car"] == ends
