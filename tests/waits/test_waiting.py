"""A run waits for an event: what it gets, when it goes on, and what happens when nothing comes."""

from typing import Any

import msgspec
import pytest

from ironflow.base.time import to_datetime
from ironflow.features.events import contract as events
from ironflow.features.jobs import informing
from ironflow.features.jobs.contract import Assignment, InvalidReport
from ironflow.features.pubsub import contract as pubsub
from ironflow.features.runs.contract import Run, RunStatus, StepStatus, StepType
from tests.support.house import open_house
from tests.support.work import Work, step
from tests.support.yields import sleeps, waits_for

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EVENT = "order.approved"


async def a_waiting_run(house: Work, event: str = EVENT, *, data: object = None, **filter_: Any) -> Run:
    """A run of `charge` that waits for an event in its step `approval`."""
    await house.a_function()
    await house.a_worker()
    (run_id,) = (await house.emit(data=data)).run_ids
    await house.report(job := await house.claim(), "yielded", yielded=waits_for(job, event, **filter_))
    return await house.run(run_id)


def output_of(job: Assignment, name: str = "approval") -> object:
    """What the worker is told that a step returned."""
    (found,) = [each for each in job.completed_steps if each.name == name]
    return msgspec.json.decode(found.output)


async def count(house: Work, table: str) -> int:
    row = await house.db.read(lambda tx: tx.row(f"SELECT count(*) FROM {table}"))
    assert row is not None
    return row[0]


async def test_a_waiting_run_is_shown_with_what_it_waits_for_and_until_when(house: Work):
    run = await a_waiting_run(house, timeout="2h", payload={"question": "pay?"})

    assert (run.status, run.status.sent, run.pause_reason) == (RunStatus.WAITING, "paused", "wait_event")
    (row,) = await house.steps(run.id)
    assert (row.name, row.step_type, row.status) == ("approval", StepType.WAIT_FOR_EVENT, StepStatus.WAITING)
    assert (row.wait_event_name, row.wait_timeout) == (EVENT, to_datetime(house.now + 2 * HOUR_MS))
    assert row.input is not None
    assert msgspec.json.decode(row.input) == {"question": "pay?"}
    assert await house.poll() == []


async def test_the_event_is_the_steps_output_whole_and_exact(house: Work):
    run = await a_waiting_run(house)
    sent = await house.ask(
        events.emit,
        b'{"event": "order.approved", "data": {"n": 12345678901234567890, "who": "\xc3\xa9va"}, "version": 3,'
        b' "metadata": {"trace": "t1"}, "idempotency_key": "k1"}',
    )

    job = await house.claim()

    assert (job.run_id, job.attempt, job.execution_seq) == (run.id, 1, 2)
    assert output_of(job) == {
        "id": sent.event_id,
        "name": EVENT,
        "version": 3,
        "timestamp": "2026-01-01T00:00:00Z",
        "source": "api",
        "idempotencyKey": "k1",
        "data": {"n": 12345678901234567890, "who": "éva"},
        "metadata": {"trace": "t1"},
    }
    assert (await count(house, "waits"), await count(house, "timers")) == (0, 0)


async def test_steps_reported_with_the_wait_and_before_it_come_back_with_the_event(house: Work):
    await house.a_run()
    job = await house.claim()
    await house.report(job, "progress", step(job, "reserve", 1))
    await house.report(job, "yielded", step(job, "ask", 2), step_offset=1, yielded=waits_for(job, EVENT))
    await house.emit(EVENT)

    woken = await house.claim()

    assert [each.name for each in woken.completed_steps] == ["reserve", "ask", "approval"]
    assert woken.step_sequence_base == 3


async def test_without_an_event_the_run_fails_with_wait_timeout_and_is_not_tried_again(house: Work):
    run = await a_waiting_run(house, timeout="2h")
    house.move(2 * HOUR_MS - 1)
    await house.loops()
    assert (await house.run(run.id)).status is RunStatus.WAITING

    house.move(1)
    await house.loops()

    failed = await house.run(run.id)
    assert (failed.status, failed.attempt) == (RunStatus.FAILED, 1)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("WAIT_TIMEOUT", False)
    assert [each.status for each in await house.steps(run.id)] == [StepStatus.TIMED_OUT]
    house.move(10 * DAY_MS)
    await house.loops()
    await house.a_worker()
    await house.emit(EVENT)
    assert await house.poll() == []
    assert await house.run(run.id) == failed


async def test_a_wait_that_names_no_timeout_lasts_seven_days(house: Work):
    run = await a_waiting_run(house)

    (row,) = await house.steps(run.id)
    assert row.wait_timeout == to_datetime(house.now + 7 * DAY_MS)
    house.move(7 * DAY_MS - 1)
    await house.loop("timers")
    assert (await house.run(run.id)).status is RunStatus.WAITING
    house.move(1)
    await house.loop("timers")
    assert (await house.run(run.id)).status is RunStatus.FAILED


async def test_an_event_between_the_start_of_the_execution_and_the_wait_is_not_missed(house: Work):
    await house.a_run()
    job = await house.claim()
    first = await house.emit(EVENT, data={"n": 1})
    await house.emit(EVENT, data={"n": 2})

    await house.report(job, "yielded", yielded=waits_for(job, EVENT))

    woken = await house.claim()
    assert output_of(woken)["id"] == first.event_id  # pyright: ignore[reportIndexIssue]
    assert (await count(house, "waits"), await count(house, "timers")) == (0, 0)


async def test_a_wait_that_looks_back_to_the_run_finds_what_came_while_the_run_slept(house: Work):
    await house.a_run()
    await house.emit(EVENT, data={"n": "before the execution"})
    job = await house.claim()
    await house.sleep(job, until=house.now + HOUR_MS)
    house.move(HOUR_MS)
    await house.loops()
    await house.a_worker()
    job = await house.claim()

    await house.report(job, "yielded", yielded=waits_for(job, EVENT, look_back="run"))

    event = output_of(await house.claim())
    assert event["data"] == {"n": "before the execution"}  # pyright: ignore[reportIndexIssue]
    assert (await count(house, "waits"), await count(house, "timers")) == (0, 0)


async def test_a_wait_that_looks_back_to_the_run_sees_nothing_from_before_the_run(house: Work):
    await house.emit(EVENT)
    run = await a_waiting_run(house, look_back="run")

    assert (run.status, run.pause_reason) == (RunStatus.WAITING, "wait_event")


async def test_two_waits_that_look_back_to_the_run_take_two_events(house: Work):
    await house.a_run()
    for number in (1, 2):
        await house.emit(EVENT, data={"n": number})
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, EVENT, name="first", look_back="run"))
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, EVENT, name="second", look_back="run"))

    job = await house.claim()

    assert [output_of(job, name)["data"] for name in ("first", "second")] == [{"n": 1}, {"n": 2}]  # pyright: ignore[reportIndexIssue]


async def test_a_wait_that_looks_back_to_the_run_is_told_of_the_first_events_of_a_name_that_is_everybodys(
    house: Work, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(informing, "PAGE", 2)
    monkeypatch.setattr(informing, "LOOK_BACK_MAX", 4)
    await house.a_run()
    for number in range(6):
        await house.emit(EVENT, data={"n": number})
    job = await house.claim()
    within = waits_for(job, EVENT, match="n", match_value="3", look_back="run", name="within")
    await house.report(job, "yielded", yielded=within)
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, EVENT, match="n", match_value="5", look_back="run"))

    assert output_of(job, "within")["data"] == {"n": 3}  # pyright: ignore[reportIndexIssue]
    assert (await house.run(job.run_id)).status is RunStatus.WAITING


async def test_a_look_back_to_anything_else_is_refused(house: Work):
    await house.a_run()
    job = await house.claim()

    with pytest.raises(InvalidReport, match="look_back is 'yesterday'; it is execution or run"):
        await house.report(job, "yielded", yielded=waits_for(job, EVENT, look_back="yesterday"))
    assert (await house.run(job.run_id)).status is RunStatus.RUNNING


async def test_looking_back_passes_over_events_that_do_not_match(house: Work):
    await house.a_function()
    await house.a_worker()
    await house.emit(data={"orderId": 7})
    job = await house.claim()
    # More than are looked at in one go.
    for _ in range(2):
        await house.call(events.emit_batch, events=[{"event": EVENT, "data": {"orderId": 8}}] * 300)
    wanted = await house.emit(EVENT, data={"orderId": 7})

    await house.report(job, "yielded", yielded=waits_for(job, "order.*", match="orderId"))

    assert output_of(await house.claim())["id"] == wanted.event_id  # pyright: ignore[reportIndexIssue]


async def test_an_event_before_the_execution_began_is_not_matched(house: Work):
    await house.a_function()
    await house.a_worker()
    (run_id,) = (await house.emit()).run_ids
    await house.emit(EVENT)
    job = await house.claim()

    await house.report(job, "yielded", yielded=waits_for(job, EVENT))

    assert (await house.run(run_id)).status is RunStatus.WAITING
    await house.emit(EVENT)
    assert (await house.claim()).run_id == run_id


async def test_two_waits_for_one_name_take_two_events(house: Work):
    run = await a_waiting_run(house)
    first = await house.emit(EVENT)
    job = await house.claim()
    assert output_of(job)["id"] == first.event_id  # pyright: ignore[reportIndexIssue]

    await house.report(job, "yielded", yielded=waits_for(job, EVENT, name="second"))

    assert (await house.run(run.id)).status is RunStatus.WAITING
    second = await house.emit(EVENT)
    assert output_of(await house.claim(), "second")["id"] == second.event_id  # pyright: ignore[reportIndexIssue]


async def test_one_event_satisfies_many_waits_and_triggers_functions_too(house: Work):
    await house.a_function()
    await house.a_function("bill", on=EVENT)
    await house.a_worker()
    waiting = [(await house.emit()).run_ids[0] for _ in range(3)]
    for job in await house.poll(available=3):
        await house.report(job, "yielded", yielded=waits_for(job, EVENT))

    sent = await house.emit(EVENT)

    assert len(sent.run_ids) == 1
    woken = await house.poll(available=10)
    assert [job.run_id for job in woken] == waiting
    assert {output_of(job)["id"] for job in woken} == {sent.event_id}  # pyright: ignore[reportIndexIssue]


async def test_events_of_one_commit_satisfy_a_wait_once_and_the_first_one_wins(house: Work):
    await a_waiting_run(house)

    sent = await house.call(events.emit_batch, events=[{"event": EVENT, "data": n} for n in range(3)])

    woken = await house.claim()
    assert output_of(woken)["id"] == sent.results[0].event_id  # pyright: ignore[reportIndexIssue]
    assert await house.poll() == []


async def test_a_wait_repeated_keeps_its_first_deadline(house: Work):
    """A handler that was replayed while its wait was open, as after a resume, asks for the very same wait."""
    run = await a_waiting_run(house, timeout="2h")
    deadline = to_datetime(house.now + 2 * HOUR_MS)
    house.move(HOUR_MS)
    await house.db.write(lambda tx: _hand_out_again(tx, run.id))
    job = await house.claim()

    await house.report(job, "yielded", yielded=waits_for(job, EVENT, timeout="2h"))

    (row,) = await house.steps(run.id)
    assert row.wait_timeout == deadline
    assert (await house.run(run.id)).next_attempt_at == deadline
    house.move(HOUR_MS)
    await house.loop("timers")
    assert (await house.run(run.id)).status is RunStatus.FAILED


def _hand_out_again(tx, run_id: str) -> None:
    """Puts a waiting run back into the queue behind the engine's back: no command does, but an old worker could."""
    tx.run("UPDATE runs SET status = 'pending', reason = '' WHERE id = :id", {"id": run_id})
    tx.run(
        "INSERT INTO jobs (run_id, environment, function_id, state, ready_at, job_id, execution_seq, token, worker_id,"
        " expires_at, deadline_at, sequence_base, log_position, avoid)"
        " VALUES (:id, 'default', 'charge', 'ready', 0, '', 0, '', '', 0, 0, 0, 0, '')",
        {"id": run_id},
    )


async def test_a_wait_that_has_its_event_already_goes_straight_on(house: Work):
    await a_waiting_run(house)
    await house.emit(EVENT)
    job = await house.claim()

    await house.report(job, "yielded", yielded=waits_for(job, EVENT))

    again = await house.claim()
    assert [each.name for each in again.completed_steps] == ["approval"]
    assert await count(house, "waits") == 0


async def test_topics_and_inputs_of_invoked_functions_satisfy_no_wait(house: Work):
    run = await a_waiting_run(house, event=">")
    await house.a_function("child", on=None)

    await house.call(pubsub.publish, topic=EVENT, data={})
    await house.call(events.invoke, function_id="child", data={})

    assert (await house.run(run.id)).status is RunStatus.WAITING


async def test_events_of_another_environment_satisfy_no_wait(house: Work):
    run = await a_waiting_run(house)

    await house.emit(EVENT, env="staging")

    assert (await house.run(run.id)).status is RunStatus.WAITING


async def test_a_repeated_emit_with_the_same_key_satisfies_no_second_wait(house: Work):
    run = await a_waiting_run(house)
    await house.emit(EVENT, idempotency_key="k")
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, EVENT, name="second"))

    await house.emit(EVENT, idempotency_key="k")

    assert (await house.run(run.id)).status is RunStatus.WAITING


async def test_waits_outlive_a_restart_of_the_server(database_url: str):
    async with open_house(Work, database_url) as house:
        run = await a_waiting_run(house, data={"orderId": 7}, match="orderId")

    async with open_house(Work, database_url) as house:
        await house.emit(EVENT, data={"orderId": 8})
        assert await house.poll() == []
        await house.emit(EVENT, data={"orderId": 7})
        assert (await house.claim()).run_id == run.id


async def test_a_sleep_then_a_wait_then_the_end(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "yielded", yielded=sleeps(job, house.now + HOUR_MS))
    # It came while the run slept: the execution that will wait has not begun.
    await house.emit(EVENT)
    house.move(HOUR_MS)
    await house.loop("timers")
    await house.a_worker()
    await house.report(job := await house.claim(), "yielded", yielded=waits_for(job, EVENT))
    await house.emit(EVENT)

    await house.report(await house.claim(), "completed", output=1)

    assert (await house.run(run.id)).status is RunStatus.COMPLETED
    assert [each.status for each in await house.steps(run.id)] == [StepStatus.COMPLETED] * 2


BAD_FILTERS = [
    {"event": ""},
    {"event": "   "},
    {"event": "a.>.b"},
    {"event": "a", "timeout": "soon"},
    {"event": "a", "timeout": "-1h"},
    {"event": "a", "match": "data.x =="},
    {"event": "a", "match": "(" * 5000},
]


async def test_a_wait_that_means_nothing_is_refused_and_the_job_stays(house: Work):
    await house.a_run()
    job = await house.claim()
    for filter_ in BAD_FILTERS:
        told = {"type": "wait_for_event", "step_id": f"{job.run_id}:approval:0", "event_filter": filter_}
        with pytest.raises(InvalidReport):
            await house.report(job, "yielded", yielded=told)

    await house.report(job, "completed", output=1)
