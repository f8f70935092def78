"""A report each night at two in Berlin, also when the clocks change."""

from datetime import UTC, datetime

import pytest

from ironflow.testing import time_machine
from tests.examples.apps import load_app, worker_process

NAME = "nightly-report"


async def nights(start: datetime) -> list[tuple[str, str]]:
    """(when the report came, in UTC; the day it is of) for each of four nights."""
    async with time_machine(functions=load_app(NAME).functions, start=start) as world:
        await world.advance("4d")
        reports = await world.runs(NAME)
    assert {each.status for each in reports} == {"completed"}
    return [(f"{each.info.created_at:%m-%d %H:%M}", each.output["day"]) for each in reports]


async def test_each_day_has_one_report_when_the_clocks_go_forward():
    assert await nights(datetime(2026, 3, 27, 12, tzinfo=UTC)) == [
        ("03-28 01:00", "2026-03-27"),
        # This night has no two o'clock; the report runs at three instead.
        ("03-29 01:00", "2026-03-28"),
        ("03-30 00:00", "2026-03-29"),
        ("03-31 00:00", "2026-03-30"),
    ]


async def test_each_day_has_one_report_when_two_o_clock_occurs_twice():
    assert await nights(datetime(2026, 10, 23, 12, tzinfo=UTC)) == [
        ("10-24 00:00", "2026-10-23"),
        ("10-25 00:00", "2026-10-24"),
        ("10-26 01:00", "2026-10-25"),
        ("10-27 01:00", "2026-10-26"),
    ]


@pytest.mark.processes
def test_a_report_can_be_invoked_at_any_time(ironflow_server, ironflow_client):
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
