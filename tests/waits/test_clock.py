"""A clock that is set back an hour: nothing is lost, nothing happens twice, all goes on when its time has come."""

from typing import Any

from ironflow.features.runs.contract import RunStatus
from tests.support.work import Work
from tests.support.yields import sleeps, waits_for

HOUR_MS = 3_600_000


async def test_a_clock_set_back_an_hour_delays_what_waits_for_a_time_and_breaks_nothing(house: Work):
    limits: dict[str, Any] = {"throttle": {"limit": 3, "period_ms": 60_000}, "concurrency": {"limit": 3}}
    await house.a_function(**limits)
    await house.a_function("gather", on="moved", debounce={"period_ms": 5_000})
    await house.a_worker(function_ids=["charge", "gather"])
    run_ids = [(await house.emit()).run_ids[0] for _ in range(4)]
    busy, asleep, waiting = await house.poll(available=10)
    await house.report(asleep, "yielded", yielded=sleeps(asleep, house.now + 1_000))
    await house.report(waiting, "yielded", yielded=waits_for(waiting, "go", timeout="1h"))
    await house.emit("moved")

    house.move(-HOUR_MS)
    await house.loops()
    assert [(await house.run(each)).state for each in run_ids] == [
        "running",
        "waiting: sleep",
        "waiting: wait_event",
        "waiting: throttle",
    ]
    # What is said meanwhile counts, and an event is not matched by time but by its place in the log.
    await house.heartbeat(busy)
    await house.report(busy, "completed")
    await house.emit("go")
    await house.report(await house.claim(), "completed")

    house.move(HOUR_MS + 60_000)
    await house.loops()
    await house.a_worker(function_ids=["charge", "gather"])
    left = await house.poll(available=10)
    assert sorted(job.function_id for job in left) == ["charge", "charge", "gather"]
    for job in left:
        await house.report(job, "completed")
    assert {run.status for run in await house.runs()} == {RunStatus.COMPLETED}
    assert len(await house.runs()) == 5
