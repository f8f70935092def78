"""Three bookings; when one fails, the others are cancelled."""

import pytest

from tests.examples.apps import load_app, worker_process

NAME = "saga-travel"
LISBON = {"id": "trip_1", "traveller": "Ada", "city": "Lisbon", "nights": 4}


def trip(**changes):
    return {**LISBON, **changes}


@pytest.fixture
def travel(ironflow_server, ironflow_client):
    with worker_process(NAME, ironflow_client, ironflow_server.url):
        yield ironflow_client


@pytest.mark.processes
def test_an_available_trip_has_three_bookings(travel):
    (run_id,) = travel.emit("trip.requested", trip()).run_ids
    run = travel.runs.wait(run_id)

    assert run.status == "completed"
    assert sorted(run.output) == ["car", "flight", "hotel"]
    assert [step.name for step in travel.runs.steps(run_id)] == ["flight", "hotel", "car"]


@pytest.mark.processes
def test_when_there_is_no_car_hotel_and_flight_are_cancelled_in_this_order(travel):
    (run_id,) = travel.emit("trip.requested", trip(id="trip_2", city="Venice")).run_ids
    run = travel.runs.wait(run_id)
    steps = travel.runs.steps(run_id)
    booked = {step.name: step.output for step in steps}

    assert run.status == "failed"
    assert run.attempt == 1
    assert "there are no cars in Venice" in run.error.message
    assert [(step.name, step.status) for step in steps] == [
        ("flight", "completed"),
        ("hotel", "completed"),
        ("car", "failed"),
        ("compensate:hotel", "completed"),
        ("compensate:flight", "completed"),
    ]
    assert booked["compensate:hotel"] == f"hotel cancelled {booked['hotel']}"
    assert booked["compensate:flight"] == f"airline cancelled {booked['flight']}"


async def test_only_completed_bookings_are_cancelled():
    from ironflow.testing import TestClient

    client = TestClient(load_app(NAME).functions, strict=False)

    run = await client.emit("trip.requested", trip(nights=40))

    assert run.status == "failed"
    assert run.compensations == ["flight"]
