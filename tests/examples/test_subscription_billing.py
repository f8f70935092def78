"""A year of a subscription: charged each month, cancelled by its customer, suspended when it is not paid."""

from datetime import UTC, datetime

import pytest

from ironflow.testing import time_machine
from tests.examples.apps import load_app, worker_process
from tests.support.waiting import eventually

NAME = "subscription-billing"
APP = load_app(NAME)
YEAR = "366d"


def plan(card="visa", customer="ada"):
    return {"customer": customer, "card": card, "price": 900}


@pytest.fixture
async def world():
    async with time_machine(functions=APP.functions, start=datetime(2026, 1, 31, 12, tzinfo=UTC)) as world:
        yield world


async def test_twelve_months_are_charged_each_on_its_day(world):
    run = await world.emit("subscription.started", plan())
    await world.advance(YEAR)
    charged = [each.info.ended_at.date().isoformat() for each in await world.runs("charge-card")]

    assert run.output == {"customer": "ada", "ended": "year over", "months_paid": 12}
    assert run.step_output("receipt", 11) == "to ada: Thank you. Your receipt is ada-12."
    assert charged[:3] == ["2026-02-28", "2026-03-31", "2026-04-30"]
    assert charged[-1] == "2027-01-31"
    assert len(charged) == 12


async def test_a_cancelled_subscription_is_no_longer_charged(world):
    run = await world.emit("subscription.started", plan())
    other = await world.emit("subscription.started", plan(customer="bob"))
    await world.advance("70d")
    await world.emit("subscription.cancelled", {"customer": "ada"})
    await world.advance(YEAR)

    assert run.status == "cancelled"
    assert [step.name for step in run.steps].count("receipt") == 2
    assert other.output["months_paid"] == 12


async def test_a_declined_charge_is_retried_for_days_and_does_not_move_the_next_one(world):
    run = await world.emit("subscription.started", plan(card="empty"))
    await world.advance(YEAR)
    charges = await world.runs("charge-card")

    assert run.output["months_paid"] == 12
    assert {each.attempt for each in charges} == {3}
    assert charges[1].info.created_at == datetime(2026, 3, 31, 12, tzinfo=UTC)
    assert charges[1].info.ended_at == datetime(2026, 3, 31, 19, tzinfo=UTC)


async def test_a_permanently_refused_card_suspends_the_subscription(world):
    run = await world.emit("subscription.started", plan(card="stolen"))
    await world.advance("31d")

    assert run.output == {"customer": "ada", "ended": "suspended", "months_paid": 0}
    assert "the card was reported stolen" in run.step_output("suspend")


@pytest.mark.processes
def test_a_sleeping_subscription_is_cancelled_on_a_real_server(ironflow_server, ironflow_client):
    with worker_process(NAME, ironflow_client, ironflow_server.url):
        (run_id,) = ironflow_client.emit("subscription.started", plan(customer="eve")).run_ids
        eventually(lambda: ironflow_client.runs.get(run_id).pause_reason == "sleep")
        ironflow_client.emit("subscription.cancelled", {"customer": "eve"})

        run = ironflow_client.runs.wait(run_id)
    assert (run.status, run.cancellation_cause) == ("cancelled", "cancel-on-event")


@pytest.mark.processes
def test_a_charge_can_be_made_by_hand(ironflow_server, ironflow_client):
    with worker_process(NAME, ironflow_client, ironflow_server.url):
        charge = {"customer": "ada", "card": "visa", "amount": 900, "number": 3}
        assert ironflow_client.invoke_sync("charge-card", charge) == "ada-03"
