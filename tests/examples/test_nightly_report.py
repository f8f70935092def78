"""A report each night at two in Berlin, whatever the clocks do."""

from datetime import UTC, datetime

import pytest

from ironflow.testing import time_machine
from tests.examples.apps import load_app, worker_process

NAME = "nightly-report"


async def test_there_is_one_report_for_each_day_also_when_the_clocks_go_forward():
    async with time_machine(functions=load_app(NAME).functions, start=datetime(2026, 3, 27, tzinfo=UTC)) as world:
        await world.advance("4d")
        reports = await world.runs("nightly-report")

    assert [(each.info.created_at, each.output["day"]) for each in reports] == [
        (datetime(2026, 3, 27, 1, tzinfo=UTC), "2026-03-26"),
        (datetime(2026, 3, 28, 1, tzinfo=UTC), "2026-03-27"),
        # There is no two o'clock in this night; three is when it would have been.
        (datetime(2026, 3, 29, 1, tzinfo=UTC), "2026-03-28"),
        (datetime(2026, 3, 30, 0, tzinfo=UTC), "2026-03-29"),
        (datetime(2026, 3, 31, 0, tzinfo=UTC), "2026-03-30"),
    ]
    assert {each.status for each in reports} == {"completed"}


@pytest.mark.processes
def test_a_report_can_be_had_at_once(ironflow_server, ironflow_client):
    with worker_process(NAME, ironflow_client, ironflow_server.url):
        run_id = ironflow_client.invoke(NAME).run_id
        run = ironflow_client.runs.wait(run_id)
        steps = ironflow_client.runs.steps(run_id)
        next_run = ironflow_client.functions.get(NAME).next_run

    assert run.status == "completed"
    assert [step.name for step in steps] == ["query sales", "render", "mail"]
    assert steps[1].output.splitlines()[0] == f"Sales of {run.output['day']}"
    assert next_run is not None
    assert next_run > run.created_at
