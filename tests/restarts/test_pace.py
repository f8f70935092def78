"""A handler that restarts at once makes no runs without a bound in time."""

import pytest

from ironflow import Context, Retry, function
from ironflow.features.controls import contract as controls
from ironflow.features.runs import contract as runs
from ironflow.features.runs.restarting import Link, decide_restart_delay
from ironflow.testing import time_machine
from tests.support.work import Work, step

QUICK, LONG, BUSY = Link(0, 1_000, 1_900), Link(0, 1_000, 2_000), Link(1, 1_000, 1_100)


@pytest.mark.parametrize(
    ("links", "delay_ms"),
    [
        ([QUICK], 0),
        ([QUICK] * 4, 0),
        ([QUICK] * 5, 1_000),
        ([QUICK] * 6, 2_000),
        ([QUICK] * 7, 4_000),
        ([QUICK] * 10, 32_000),
        ([QUICK] * 11, 60_000),
        ([QUICK] * 1_000, 60_000),
        ([LONG, *[QUICK] * 9], 0),
        ([BUSY, *[QUICK] * 9], 0),
        ([*[QUICK] * 5, BUSY, QUICK], 1_000),
    ],
)
def test_the_delay_grows_with_the_quick_links_in_a_row(links: list[Link], delay_ms: int):
    assert decide_restart_delay(links) == delay_ms


async def test_a_handler_that_does_nothing_but_restart_is_slowed_down():
    links: list[int] = []

    @function("loops", on="go", retry=Retry(max_attempts=1))
    async def loops(ctx: Context, data: int) -> object:
        links.append(data)
        return ctx.restart(data + 1)

    async with time_machine([loops]) as machine:
        await machine.emit("go", 0)
        await machine.settle()
        first = len(links)
        assert first == 6
        await machine.advance("1s")
        assert len(links) == first + 1
        await machine.advance("1999ms")
        assert len(links) == first + 1
        await machine.advance("1ms")
        assert len(links) == first + 2
        await machine.advance("1h")
        assert first + 60 <= len(links) <= first + 70


async def test_run_why_names_the_pace_and_work_ends_it(server: Work):
    await server.a_function("chat", on="order.placed")
    await server.a_worker(function_ids=["chat"])
    await server.emit()
    job = await server.claim()
    for _ in range(5):
        await server.report(job, "completed", restart={"data": 1})
        job = await server.claim()
    await server.report(job, "completed", restart={"data": 1})
    assert await server.poll() == []
    chain = (await server.call(runs.chain, id=job.run_id)).runs
    why = await server.call(controls.why, id=chain[-1].id)
    assert why.message.startswith("The runs before it restarted at once, without a step; it may start at ")

    server.move(1_000)
    await server.loop("timers")
    job = await server.claim()
    await server.report(job, "completed", step(job, "work"), restart={"data": 1})
    assert (await server.claim()).run_id != job.run_id
