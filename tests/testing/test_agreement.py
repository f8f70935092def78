"""TestClient and the engine of a server agree: each function ends in both with the same result, steps and attempts."""

from typing import Any

import pytest

from ironflow.testing import TestClient, time_machine
from ironflow.testing.machine_run import TimeMachineRun
from ironflow.testing.run import TestRun
from tests.testing import scenarios_failing, scenarios_waiting
from tests.testing.scenarios import SCENARIOS, WITHIN, Scenario

assert scenarios_failing
assert scenarios_waiting


def plain(message: str) -> str:
    """Without what TestClient adds to a time-out: how to let an event come."""
    return message.partition(" To let one come")[0]


def shown(run: TestRun | TimeMachineRun) -> dict[str, Any]:
    """What a test can see of a run, but for ids and times."""
    error = run.error
    return {
        "status": run.status.value,
        "output": run.output,
        "error": None if error is None else (plain(error.message), error.code, error.retryable, error.error_class),
        "attempt": run.attempt,
        "steps": sorted(
            (
                step.name,
                step.step_type.value,
                step.status.value,
                step.attempt,
                step.output if not str(step.output).startswith(("{'run_id'", "{'id'")) else "…",
                None if step.error is None else (step.error.message, step.error.code),
            )
            for step in run.steps
        ),
        "compensations": run.compensations,
    }


async def in_test_client(given: Scenario) -> dict[str, Any]:
    functions = given.functions()
    client = TestClient(functions, strict=False)
    for name, data in given.events:
        client.send_event(name, data)
    return shown(await client.invoke(functions[0], given.data, cancel_at=given.cancel_at))


async def in_time_machine(given: Scenario) -> dict[str, Any]:
    functions = given.functions()
    async with time_machine(functions) as machine:
        run = await machine.invoke(functions[0], given.data)
        for name, data in given.events:
            await machine.emit(name, data)
        if given.cancel_at:
            assert run.step(given.cancel_at)
            await machine.client.runs.cancel(run.id)
        await machine.advance(WITHIN)
        return shown(run)


@pytest.mark.parametrize("given", SCENARIOS, ids=lambda each: each.name)
async def test_test_client_and_engine_agree(given: Scenario):
    simulated, real = await in_test_client(given), await in_time_machine(given)

    assert simulated == real
    assert (real["status"], real["output"]) == given.expect
