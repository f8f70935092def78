"""A clock that is set back an hour: nothing is lost, nothing happens twice, all goes on when its time has come."""

from typing import Any

from ironflow.features.runs.contract import RunStatus
from tests.support.work import Work
from tests.support.yields import sleeps, waits_for

HOUR_MS = 3_600_000


async def test_a_clock_set_back_an_hour_delays_what_waits_for_a_time_and_breaks_nothing(server: Work):
    limits: dict[str, Any] = {"throttle": {"limit": 3, "period_ms": 60_000}, "concurrency": {"limit": 3}}
    await server.a_function(**limits)
    await server.a_function("gather", on="moved", debounce={"period_ms": 5_000})
    await server.a_worker(function_ids=["charge", "gather"])
    run_ids = [(await server.emit()).run_ids[0] for _ in range(4)]
    busy, asleep, waiting = await server.poll(available=10)
    await server.report(asleep, "yielded", yielded=sleeps(asleep, server.now + 1_000))
    await server.report(waiting, "yielded", yielded=waits_for(waiting, "go", timeout="1h"))
    await server.emit("moved")

    server.move(-HOUR_MS)
    await server.loops()
    assert [(await server.run(each)).state for each in run_ids] == [
        "running",
        "waiting: sleep",
        "waiting: wait_event",
        "waiting: throttle",
    ]
    # Reports count meanwhile, and an event is matched by its position in the log, not by its time.
    await server.heartbeat(busy)
    await server.report(busy, "completed")
    await server.emit("go")
    await server.report(await server.claim(), "completed")

    server.move(HOUR_MS + 60_000)
    await server.loops()
    await server.a_worker(function_ids=["charge", "gather"])
    left = await server.poll(available=10)
    assert sorted(job.function_id for job in left) == ["charge", "charge", "gather"]
    for job in left:
        await server.report(job, "completed")
    assert {run.status for run in await server.runs()} == {RunStatus.COMPLETED}
    assert len(await server.runs()) == 5
