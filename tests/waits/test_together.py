"""A run waits in several steps at once: when it goes on, what ends with it, and what happens to the rest."""

from typing import Any

import msgspec
import pytest

from ironflow.base.time import to_datetime
from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment, InvalidReport
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus, StepStatus
from tests.support.work import Work, step
from tests.support.yields import invokes, sleeps, waits_for

MANY = 40


async def a_job(server: Work, *, children: int = 0, **config: Any) -> Assignment:
    await server.a_function(**config)
    if children:
        await server.a_function("settle", on=None)
    await server.a_worker(function_ids=("charge", "settle"), jobs_max=children + 10)
    await server.emit(data={"orderId": 7})
    return await server.claim()


def ended(job: Assignment) -> list[str]:
    return sorted(each.name for each in job.completed_steps)


def output_of(job: Assignment, name: str) -> Any:
    (found,) = [each for each in job.completed_steps if each.name == name]
    return msgspec.json.decode(found.output)


async def rows(server: Work, table: str) -> int:
    row = await server.db.read(lambda tx: tx.row(f"SELECT count(*) FROM {table}"))
    assert row is not None
    return row[0]


async def test_all_waits_of_an_execution_are_registered_by_one_report(server: Work):
    job = await a_job(server, children=1)
    yields = [sleeps(job, server.now + 1_000), waits_for(job, "paid"), invokes(job, "settle", 5)]
    await server.report(job, "yielded", step(job, "before"), yields=yields)

    found = {row.name: row.status for row in await server.steps(job.run_id)}
    assert found == {
        "before": StepStatus.COMPLETED,
        "nap": StepStatus.SLEEPING,
        "approval": StepStatus.WAITING,
        "settle": StepStatus.WAITING,
    }
    assert [row.sequence for row in await server.steps(job.run_id)] == [0, 1, 2, 3]
    run = await server.run(job.run_id)
    assert (run.status, run.pause_reason) == (RunStatus.WAITING, "sleep")
    (child,) = await server.poll()
    assert child.function_id == "settle"


async def test_the_run_goes_on_with_the_first_that_ends_and_the_others_go_on_waiting(server: Work):
    job = await a_job(server)
    names = ("a", "b", "c")
    yields = [waits_for(job, f"{name}.done", name=name) for name in names]
    await server.report(job, "yielded", yields=yields)

    await server.emit("b.done", {"n": 1})
    job = await server.claim()
    assert ended(job) == ["b"]
    # Two end while it runs; it goes straight on.
    await server.emit("a.done", {"n": 2})
    await server.emit("c.done", {"n": 3})
    await server.report(job, "yielded", yields=[yields[0], yields[2]])

    job = await server.claim()
    assert [output_of(job, name)["data"]["n"] for name in names] == [2, 1, 3]


async def test_a_repeated_execution_does_not_start_open_sleeps_again(server: Work):
    job = await a_job(server)
    first, second = sleeps(job, server.now + 1_000, name="a"), sleeps(job, server.now + 2_000, name="b")
    await server.report(job, "yielded", yields=[first, second])
    server.move(1_000)
    await server.loop("timers")

    job = await server.claim()
    assert ended(job) == ["a"]
    await server.report(job, "yielded", yields=[sleeps(job, server.now + 2_000, name="b")])
    server.move(1_000)
    await server.loop("timers")

    assert ended(await server.claim()) == ["a", "b"]


async def test_with_many_open_waits_ends_are_gathered_for_half_a_second(server: Work):
    job = await a_job(server)
    yields = [sleeps(job, server.now + 1_000 + 100 * number, name=f"n{number:02}") for number in range(MANY)]
    await server.report(job, "yielded", yields=yields)

    server.move(1_000)
    await server.loop("timers")
    assert await server.poll() == []
    assert (await server.run(job.run_id)).status is RunStatus.WAITING
    server.move(400)
    await server.loop("timers")
    assert await server.poll() == []
    server.move(100)
    await server.loop("timers")

    assert ended(await server.claim()) == [f"n{number:02}" for number in range(6)]


async def test_when_all_of_many_have_ended_the_run_goes_on_at_once(server: Work):
    job = await a_job(server)
    yields = [sleeps(job, server.now + 1_000, name=f"n{number:02}") for number in range(MANY)]
    await server.report(job, "yielded", yields=yields)

    server.move(1_000)
    await server.loop("timers")

    assert len(ended(await server.claim())) == MANY


async def test_children_are_started_together_and_end_each_for_itself(server: Work):
    job = await a_job(server, children=MANY)
    yields = [
        invokes(job, "settle", number, step_id=f"{job.run_id}:settle:{number}", invoke_timeout_ms=60_000)
        for number in range(MANY)
    ]
    await server.report(job, "yielded", yields=yields)
    children = await server.poll(available=MANY)
    assert sorted(msgspec.json.decode(child.event.data) for child in children) == list(range(MANY))

    for child in children:
        await server.report(child, "completed", output=msgspec.json.decode(child.event.data))

    back = await server.claim()
    assert sorted(msgspec.json.decode(each.output) for each in back.completed_steps) == list(range(MANY))


async def test_starting_many_without_waiting_costs_one_execution(server: Work):
    job = await a_job(server, children=MANY)
    yields = [
        invokes(job, "settle", number, type="invoke_function_async", step_id=f"{job.run_id}:settle:{number}")
        for number in range(MANY)
    ]
    await server.report(job, "yielded", yields=[*yields, sleeps(job, server.now + 60_000)])

    back = {job.function_id: job for job in await server.poll(available=MANY + 1)}["charge"]
    assert back.execution_seq == 2
    assert len(back.completed_steps) == MANY


async def test_a_checkpoint_registers_waits_while_the_execution_goes_on(server: Work):
    job = await a_job(server)
    await server.report(job, "progress", yields=[waits_for(job, "a.done", name="a")])
    assert (await server.run(job.run_id)).status is RunStatus.RUNNING
    await server.emit("a.done")
    await server.report(job, "yielded", yields=[waits_for(job, "b.done", name="b")])

    assert (await server.run(job.run_id)).status is RunStatus.WAITING
    await server.emit("b.done")
    assert ended(await server.claim()) == ["a", "b"]


async def test_the_retry_delay_of_a_run_is_not_cut_short_by_an_open_wait(server: Work):
    job = await a_job(server)
    await server.report(job, "progress", yields=[waits_for(job, "a.done", name="a")])
    await server.report(job, "failed")

    await server.emit("a.done")

    assert await server.poll() == []
    server.move(1_000)
    await server.loop("timers")
    job = await server.claim()
    assert (job.attempt, ended(job)) == (2, ["a"])


async def test_what_the_handler_waits_for_no_more_is_cancelled_with_its_children(server: Work):
    job = await a_job(server, children=1)
    inside = f"{job.run_id}:p:0"
    yields = [
        {**sleeps(job, server.now + 1_000), "step_id": f"{inside}:nap:0"},
        {**waits_for(job, "paid"), "step_id": f"{job.run_id}:p:1:approval:0"},
        {**invokes(job, "settle", 5), "step_id": f"{job.run_id}:p:2:settle:0"},
        sleeps(job, server.now + 2_000, name="p"),
        waits_for(job, "go", name="go"),
    ]
    await server.report(job, "yielded", yields=yields)
    await server.emit("go")
    jobs = {each.function_id: each for each in await server.poll(available=2)}
    await server.report(jobs["charge"], "yielded", cancels=[f"{job.run_id}:p:"], yields=yields[3:4])

    found = {row.name: row.stored_status for row in await server.steps(job.run_id)}
    assert found == {
        "nap": "cancelled",
        "approval": "cancelled",
        "settle": "cancelled",
        "p": "sleeping",
        "go": "completed",
    }
    (child,) = (await server.call(runs.list_, parent_run_id=job.run_id)).runs
    assert child.status is RunStatus.CANCELLED
    assert (await rows(server, "waits"), await rows(server, "timers")) == (0, 1)


async def test_a_cancelled_wait_can_be_waited_for_again(server: Work):
    job = await a_job(server)
    wait = waits_for(job, "paid", name="a")
    await server.report(job, "yielded", yields=[wait, waits_for(job, "go", name="go")])
    await server.emit("go")
    job = await server.claim()
    await server.report(job, "failed", cancels=[wait["step_id"]])
    server.move(1_000)
    await server.loop("timers")
    await server.report(await server.claim(), "yielded", yields=[wait])

    await server.emit("paid")

    assert ended(await server.claim()) == ["a", "go"]


async def test_a_run_that_ends_leaves_no_timer_and_no_wait(server: Work):
    job = await a_job(server)
    yields = [sleeps(job, server.now + 60_000), waits_for(job, "paid"), waits_for(job, "go", name="go")]
    await server.report(job, "yielded", yields=yields)
    await server.emit("go")
    await server.report(await server.claim(), "completed", output=1)

    assert (await rows(server, "waits"), await rows(server, "timers")) == (0, 0)
    found = {row.name: row.stored_status for row in await server.steps(job.run_id)}
    assert found == {"nap": "cancelled", "approval": "cancelled", "go": "completed"}


async def test_a_cancelled_run_cancels_all_children_that_it_waits_for(server: Work):
    job = await a_job(server, children=2)
    yields = [invokes(job, "settle", number, step_id=f"{job.run_id}:settle:{number}") for number in range(2)]
    await server.report(job, "yielded", yields=yields)

    await server.call(runs.cancel, id=job.run_id)

    children = (await server.call(runs.list_, parent_run_id=job.run_id)).runs
    assert [child.status for child in children] == [RunStatus.CANCELLED] * 2


async def test_a_paused_run_waits_on_after_its_resume_unless_a_wait_has_ended(server: Work):
    job = await a_job(server)
    yields = [waits_for(job, f"{name}.done", name=name) for name in ("a", "b")]
    await server.report(job, "yielded", yields=yields)

    await server.call(controls.pause, run_id=job.run_id)
    await server.call(controls.resume, run_id=job.run_id)
    assert (await server.run(job.run_id)).status is RunStatus.WAITING
    await server.call(controls.pause, run_id=job.run_id)
    await server.emit("b.done")
    assert await server.poll() == []
    await server.call(controls.resume, run_id=job.run_id)

    job = await server.claim()
    assert ended(job) == ["b"]
    await server.report(job, "yielded", yields=yields[:1])
    await server.emit("a.done")
    assert ended(await server.claim()) == ["a", "b"]


async def test_waits_that_are_open_together_may_end_with_one_event_and_later_ones_get_the_next(server: Work):
    job = await a_job(server)
    yields = [waits_for(job, "paid", name=name, look_back="run") for name in ("a", "b")]
    await server.report(job, "yielded", yields=yields)
    await server.emit("paid", {"n": 1})
    job = await server.claim()
    assert [output_of(job, name)["data"]["n"] for name in ("a", "b")] == [1, 1]

    await server.emit("paid", {"n": 2})
    await server.report(job, "yielded", yields=[waits_for(job, "paid", name="c", look_back="run")])

    assert output_of(await server.claim(), "c")["data"]["n"] == 2


async def test_an_event_that_a_branch_took_while_the_run_worked_is_not_given_to_a_later_wait(server: Work):
    job = await a_job(server)
    first, go = waits_for(job, "paid", name="a", look_back="run"), waits_for(job, "go", name="go", look_back="run")
    await server.report(job, "yielded", yields=[first, go])
    await server.emit("go")
    job = await server.claim()
    await server.emit("paid", {"n": 1})
    await server.report(job, "yielded", yields=[first, waits_for(job, "paid", name="b", look_back="run")])

    job = await server.claim()
    assert ended(job) == ["a", "go"]
    await server.report(job, "yielded", yields=[waits_for(job, "paid", name="b", look_back="run")])
    await server.emit("paid", {"n": 2})
    assert output_of(await server.claim(), "b")["data"]["n"] == 2


async def test_a_loop_of_waits_on_one_pattern_gets_every_event_once_and_in_order(server: Work):
    job = await a_job(server)
    for number in range(5):
        await server.emit(f"item.{number}", {"n": number})
    for number in range(5):
        await server.report(job, "yielded", yields=[waits_for(job, "item.*", name=f"w{number}", look_back="run")])
        job = await server.claim()

    assert [output_of(job, f"w{number}")["data"]["n"] for number in range(5)] == list(range(5))


@pytest.mark.parametrize(
    ("reported", "fault"),
    [
        ({}, "there is no `yield`"),
        ({"yields": [{"type": "dream", "step_id": "x"}]}, "is not known"),
        ({"yields": [{"type": "sleep", "step_id": "x"}] * 2_001}, "2000 is the limit"),
        (
            {
                "yields": [
                    {"type": "sleep", "step_id": "x", "until": "2030-01-01T00:00:00Z"},
                    {"type": "sleep", "step_id": ""},
                ]
            },
            "step_id",
        ),
    ],
    ids=["none", "unknown", "too many", "half"],
)
async def test_a_report_of_waits_that_cannot_be_read_is_refused_and_changes_nothing(
    server: Work, reported: Any, fault: str
):
    job = await a_job(server)
    with pytest.raises(InvalidReport, match=fault):
        await server.report(job, "yielded", **reported)

    assert (await server.run(job.run_id)).status is RunStatus.RUNNING
    assert await server.steps(job.run_id) == []


async def test_one_step_named_twice_in_a_report_is_one_step(server: Work):
    job = await a_job(server)
    await server.report(job, "yielded", yields=[sleeps(job, server.now + 1_000), sleeps(job, server.now + 9_000)])

    (row,) = await server.steps(job.run_id)
    assert row.sleep_until == to_datetime(server.now + 1_000)
