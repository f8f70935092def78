"""An expense waits for an approval: a reminder after one day, the manager after two."""

import pytest

from ironflow.testing import time_machine
from tests.examples.apps import load_app, worker_process
from tests.support.waiting import eventually

NAME = "approval"
EXPENSE = {"id": "exp_7", "employee": "Bob", "approver": "Ada", "manager": "Eve", "amount": 4250}


@pytest.fixture
async def world():
    async with time_machine(functions=load_app(NAME).functions) as world:
        yield world


@pytest.fixture
async def claim(world):
    """Bob's expense, submitted now: the run that waits for the decision, and the run that sends reminders."""
    await world.emit("expense.submitted", EXPENSE)
    (decide,) = await world.runs("decide-expense")
    (chase,) = await world.runs("chase-approver")
    return decide, chase


async def test_an_expense_approved_within_a_day_is_paid_without_a_reminder(world, claim):
    decide, chase = claim
    await world.advance("2h")
    await world.emit("expense.decided", {"id": "exp_7", "approved": True})
    await world.advance("5d")

    assert decide.output == {"expense": "exp_7", "outcome": "paid", "transfer": "transfer-exp_7"}
    assert chase.status == "cancelled"
    assert [step.name for step in chase.steps] == ["first day"]


async def test_a_refusal_is_sent_to_the_employee_and_nothing_is_paid(world, claim):
    decide, _ = claim
    await world.emit("expense.decided", {"id": "exp_7", "approved": False})

    assert decide.output == {"expense": "exp_7", "outcome": "refused"}
    assert [step.name for step in decide.steps] == ["ask", "decision", "refuse"]


async def test_after_a_day_the_approver_is_reminded_and_after_two_the_manager_is_asked(world, claim):
    decide, chase = claim

    await world.advance("23h")
    assert [step.name for step in chase.steps] == ["first day"]
    await world.advance("1h")
    assert chase.step_output("remind") == "to Ada: 42.50 EUR for Bob still waits for you."
    await world.advance("24h")
    assert chase.step_output("escalate") == "to Eve: Ada has not decided on exp_7. Will you?"
    assert (decide.state, decide.reason) == ("waiting", "wait_event")

    await world.advance("2h")
    await world.emit("expense.decided", {"id": "exp_7", "approved": True})
    assert decide.output["outcome"] == "paid"
    assert chase.status == "cancelled"


async def test_a_decision_on_another_expense_does_not_decide_this_one(world, claim):
    decide, chase = claim
    await world.emit("expense.decided", {"id": "exp_8", "approved": True})

    assert (decide.state, chase.state) == ("waiting", "waiting")


async def test_after_three_days_the_claim_lapses(world, claim):
    decide, chase = claim
    await world.advance("72h")

    assert decide.status == "failed"
    assert decide.error is not None
    assert decide.error.code == "WAIT_TIMEOUT"
    assert chase.status == "completed"
    assert chase.step_output("lapse").startswith("to Bob: There was no decision on exp_7.")


@pytest.mark.processes
def test_a_decision_reaches_the_run_through_a_real_server_and_worker(ironflow_server, ironflow_client):
    with worker_process(NAME, ironflow_client, ironflow_server.url):
        ironflow_client.emit("expense.submitted", EXPENSE)
        runs = {each.function_id: each.id for each in ironflow_client.runs.list(search="expense.submitted")}
        decide, chase = runs["decide-expense"], runs["chase-approver"]
        eventually(lambda: ironflow_client.runs.get(decide).pause_reason == "wait_event")
        question = ironflow_client.runs.steps(decide)[1].input
        ironflow_client.emit("expense.decided", {"id": "exp_7", "approved": True})

        assert ironflow_client.runs.wait(decide).output["outcome"] == "paid"
        assert ironflow_client.runs.wait(chase).status == "cancelled"
    assert question == {"question": "Approve 42.50 EUR for Bob?"}
