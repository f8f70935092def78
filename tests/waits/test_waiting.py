"""A run waits for an event: what it gets, when it goes on, and what happens when nothing comes."""

from typing import Any

import msgspec
import pytest

from ironflow.base.message_waits import awaited_name
from ironflow.base.time import to_datetime
from ironflow.features.events import contract as events
from ironflow.features.jobs import enrichment
from ironflow.features.jobs.contract import Assignment, InvalidReport
from ironflow.features.messages import contract as messages
from ironflow.features.pubsub import contract as pubsub
from ironflow.features.runs.contract import Run, RunStatus, StepStatus, StepType
from ironflow.features.waits import look_back
from ironflow.storage.port import Database
from tests.support.server import open_server
from tests.support.work import Work, step
from tests.support.yields import invokes, sleeps, waits_for

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EVENT = "order.approved"


async def a_waiting_run(server: Work, event: str = EVENT, *, data: object = None, **filter_: Any) -> Run:
    """A run of `charge` that waits for an event in its step `approval`."""
    await server.a_function()
    await server.a_worker()
    (run_id,) = (await server.emit(data=data)).run_ids
    await server.report(job := await server.claim(), "yielded", yielded=waits_for(job, event, **filter_))
    return await server.run(run_id)


def output_of(job: Assignment, name: str = "approval") -> object:
    """The output of a step as the worker gets it."""
    (found,) = [each for each in job.completed_steps if each.name == name]
    return msgspec.json.decode(found.output)


async def count(server: Work, table: str) -> int:
    row = await server.db.read(lambda tx: tx.row(f"SELECT count(*) FROM {table}"))
    assert row is not None
    return row[0]


async def test_a_waiting_run_is_shown_with_what_it_waits_for_and_until_when(server: Work):
    run = await a_waiting_run(server, timeout="2h", payload={"question": "pay?"})

    assert (run.status, run.status.sent, run.pause_reason) == (RunStatus.WAITING, "paused", "wait_event")
    (row,) = await server.steps(run.id)
    assert (row.name, row.step_type, row.status) == ("approval", StepType.WAIT_FOR_EVENT, StepStatus.WAITING)
    assert (row.wait_event_name, row.wait_timeout) == (EVENT, to_datetime(server.now + 2 * HOUR_MS))
    assert row.input is not None
    assert msgspec.json.decode(row.input) == {"question": "pay?"}
    assert await server.poll() == []


async def test_an_emit_that_wakes_a_run_is_answered_with_its_id(server: Work):
    run = await a_waiting_run(server)

    other, first, again = [await server.emit(name, idempotency_key=name) for name in ("order.other", EVENT, EVENT)]

    assert (other.woken_run_ids, first.woken_run_ids, again.woken_run_ids) == (None, [run.id], None)
    assert (first.run_ids, again.duplicate) == ([], True)


async def test_the_event_is_the_steps_output_whole_and_exact(server: Work):
    run = await a_waiting_run(server)
    sent = await server.ask(
        events.emit,
        b'{"event": "order.approved", "data": {"n": 12345678901234567890, "who": "\xc3\xa9va"}, "version": 3,'
        b' "metadata": {"trace": "t1"}, "idempotency_key": "k1"}',
    )

    job = await server.claim()

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
    assert (await count(server, "waits"), await count(server, "timers")) == (0, 0)


async def test_steps_reported_with_the_wait_and_before_it_come_back_with_the_event(server: Work):
    await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", step(job, "reserve", 1))
    await server.report(job, "yielded", step(job, "ask", 2), step_offset=1, yielded=waits_for(job, EVENT))
    await server.emit(EVENT)

    woken = await server.claim()

    assert [each.name for each in woken.completed_steps] == ["reserve", "ask", "approval"]
    assert woken.step_sequence_base == 3


async def test_without_an_event_the_run_fails_with_wait_timeout_and_is_not_tried_again(server: Work):
    run = await a_waiting_run(server, timeout="2h")
    server.move(2 * HOUR_MS - 1)
    await server.loops()
    assert (await server.run(run.id)).status is RunStatus.WAITING

    server.move(1)
    await server.loops()

    failed = await server.run(run.id)
    assert (failed.status, failed.attempt) == (RunStatus.FAILED, 1)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("WAIT_TIMEOUT", False)
    assert [each.status for each in await server.steps(run.id)] == [StepStatus.TIMED_OUT]
    server.move(10 * DAY_MS)
    await server.loops()
    await server.a_worker()
    await server.emit(EVENT)
    assert await server.poll() == []
    assert await server.run(run.id) == failed


async def test_a_wait_that_names_no_timeout_lasts_seven_days(server: Work):
    run = await a_waiting_run(server)

    (row,) = await server.steps(run.id)
    assert row.wait_timeout == to_datetime(server.now + 7 * DAY_MS)
    server.move(7 * DAY_MS - 1)
    await server.loop("timers")
    assert (await server.run(run.id)).status is RunStatus.WAITING
    server.move(1)
    await server.loop("timers")
    assert (await server.run(run.id)).status is RunStatus.FAILED


async def test_an_event_between_the_start_of_the_execution_and_the_wait_is_not_missed(server: Work):
    await server.a_run()
    job = await server.claim()
    first = await server.emit(EVENT, data={"n": 1})
    await server.emit(EVENT, data={"n": 2})

    await server.report(job, "yielded", yielded=waits_for(job, EVENT))

    woken = await server.claim()
    assert output_of(woken)["id"] == first.event_id  # pyright: ignore[reportIndexIssue]
    assert (await count(server, "waits"), await count(server, "timers")) == (0, 0)


async def test_a_wait_that_looks_back_to_the_run_finds_what_came_while_the_run_slept(server: Work):
    await server.a_run()
    await server.emit(EVENT, data={"n": "before the execution"})
    job = await server.claim()
    await server.sleep(job, until=server.now + HOUR_MS)
    server.move(HOUR_MS)
    await server.loops()
    await server.a_worker()
    job = await server.claim()

    await server.report(job, "yielded", yielded=waits_for(job, EVENT, look_back="run"))

    event = output_of(await server.claim())
    assert event["data"] == {"n": "before the execution"}  # pyright: ignore[reportIndexIssue]
    assert (await count(server, "waits"), await count(server, "timers")) == (0, 0)


async def test_a_wait_that_looks_back_to_the_run_sees_nothing_from_before_the_run(server: Work):
    await server.emit(EVENT)
    run = await a_waiting_run(server, look_back="run")

    assert (run.status, run.pause_reason) == (RunStatus.WAITING, "wait_event")


async def test_two_waits_that_look_back_to_the_run_take_two_events(server: Work):
    await server.a_run()
    for number in (1, 2):
        await server.emit(EVENT, data={"n": number})
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, EVENT, name="first", look_back="run"))
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, EVENT, name="second", look_back="run"))

    job = await server.claim()

    assert [output_of(job, name)["data"] for name in ("first", "second")] == [{"n": 1}, {"n": 2}]  # pyright: ignore[reportIndexIssue]


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction looks at few events."""
    monkeypatch.setattr(look_back, "PAGE", 2)
    monkeypatch.setattr(enrichment, "LOOK_BACK_MAX", 4)


async def a_job_and_events(server: Work, count: int) -> Assignment:
    """An execution of `charge`, and as many events since it began; their `n` counts from 0."""
    await server.a_run()
    job = await server.claim()
    await server.call(events.emit_batch, events=[{"event": EVENT, "data": {"n": number}} for number in range(count)])
    return job


def waits_for_number(job: Assignment, number: int, since: str = "run") -> dict[str, Any]:
    return waits_for(job, EVENT, match="n", match_value=str(number), look_back=since, name=f"n{number}")


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("since", ["run", "execution"])
async def test_more_events_than_a_transaction_looks_at_are_looked_at_before_it(server: Work, since: str):
    job = await a_job_and_events(server, 20)

    both = [waits_for_number(job, 17, since), waits_for_number(job, 3, since)]
    await server.report(job, "yielded", yields=both)

    job = await server.claim()
    assert [output_of(job, name)["data"] for name in ("n17", "n3")] == [{"n": 17}, {"n": 3}]  # pyright: ignore[reportIndexIssue]
    assert (await count(server, "waits"), await count(server, "timers")) == (0, 0)


@pytest.mark.usefixtures("few_at_once")
async def test_events_that_come_while_it_looks_are_looked_at_too(server: Work, monkeypatch: pytest.MonkeyPatch):
    job = await a_job_and_events(server, 20)
    look = look_back.LookFurther.look
    tries = 0

    async def look_while_more_come(further: look_back.LookFurther, db: Database) -> look_back.Looked:
        nonlocal tries
        tries += 1
        found = await look(further, db)
        more = [{"event": EVENT, "data": {"n": 20 * tries + number}} for number in range(20)]
        await server.call(events.emit_batch, events=more)
        return found

    monkeypatch.setattr(look_back.LookFurther, "look", look_while_more_come)
    await server.report(job, "yielded", yielded=waits_for_number(job, 75))

    assert output_of(await server.claim(), "n75")["data"] == {"n": 75}  # pyright: ignore[reportIndexIssue]
    # Then the transaction looks at all that is left.
    assert tries == enrichment.LOOK_BEFORE_MAX


@pytest.mark.usefixtures("few_at_once")
async def test_a_message_is_taken_once_beside_a_wait_that_looks_further(server: Work):
    job = await a_job_and_events(server, 20)
    for number in range(2):
        await server.call(messages.send, run_id=job.run_id, name="prompt", data=number)

    receive = waits_for(job, awaited_name("prompt"), name="received")
    await server.report(job, "yielded", yields=[receive, waits_for_number(job, 17)])

    job = await server.claim()
    assert output_of(job, "n17")["data"] == {"n": 17}  # pyright: ignore[reportIndexIssue]
    assert output_of(job, "received")["data"] == 0  # pyright: ignore[reportIndexIssue]


@pytest.mark.usefixtures("few_at_once")
async def test_children_are_cancelled_by_one_of_many_events_that_came_before_them(
    server: Work, monkeypatch: pytest.MonkeyPatch
):
    await server.a_function("chase", on=None, cancel_on=[{"event": EVENT, "match": "data.n"}])
    job = await a_job_and_events(server, 20)
    look = look_back.LookFurther.look
    tries: list[int] = []

    async def counting(further: look_back.LookFurther, db: Database) -> look_back.Looked:
        tries.append(1)
        return await look(further, db)

    monkeypatch.setattr(look_back.LookFurther, "look", counting)
    kind = "invoke_function_async"
    chasers = [
        {**invokes(job, "chase", {"n": number}, type=kind), "step_id": f"{job.run_id}:chase{spot}:0"}
        for spot, number in enumerate([17, 99, 2])
    ]
    await server.report(job, "yielded", yields=[*chasers, waits_for_number(job, 3)])

    back = await server.claim()
    assert output_of(back, "n3")["data"] == {"n": 3}  # pyright: ignore[reportIndexIssue]
    runs = [await server.run(output_of(back, f"chase{spot}")["run_id"]) for spot in range(3)]  # pyright: ignore[reportIndexIssue]
    assert [run.status for run in runs] == [RunStatus.CANCELLED, RunStatus.PENDING, RunStatus.CANCELLED]
    assert [run.cancellation_cause for run in runs] == ["cancel-on-event", None, "cancel-on-event"]
    assert tries == [1]


async def test_a_wait_looks_back_at_a_limited_number_of_events(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(look_back, "PAGE", 2)
    monkeypatch.setattr(look_back, "EVENTS_MAX", 4)
    job = await a_job_and_events(server, 6)
    await server.report(job, "yielded", yielded=waits_for_number(job, 3))
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for_number(job, 5))

    assert output_of(job, "n3")["data"] == {"n": 3}  # pyright: ignore[reportIndexIssue]
    assert (await server.run(job.run_id)).status is RunStatus.WAITING


async def test_a_look_back_to_anything_else_is_refused(server: Work):
    await server.a_run()
    job = await server.claim()

    with pytest.raises(InvalidReport, match="look_back is 'yesterday'; it is execution or run"):
        await server.report(job, "yielded", yielded=waits_for(job, EVENT, look_back="yesterday"))
    assert (await server.run(job.run_id)).status is RunStatus.RUNNING


async def test_looking_back_passes_over_events_that_do_not_match(server: Work):
    await server.a_function()
    await server.a_worker()
    await server.emit(data={"orderId": 7})
    job = await server.claim()
    # More than are looked at in one go.
    for _ in range(2):
        await server.call(events.emit_batch, events=[{"event": EVENT, "data": {"orderId": 8}}] * 300)
    wanted = await server.emit(EVENT, data={"orderId": 7})

    await server.report(job, "yielded", yielded=waits_for(job, "order.*", match="orderId"))

    assert output_of(await server.claim())["id"] == wanted.event_id  # pyright: ignore[reportIndexIssue]


async def test_an_event_before_the_execution_began_is_not_matched(server: Work):
    await server.a_function()
    await server.a_worker()
    (run_id,) = (await server.emit()).run_ids
    await server.emit(EVENT)
    job = await server.claim()

    await server.report(job, "yielded", yielded=waits_for(job, EVENT))

    assert (await server.run(run_id)).status is RunStatus.WAITING
    await server.emit(EVENT)
    assert (await server.claim()).run_id == run_id


async def test_two_waits_for_one_name_take_two_events(server: Work):
    run = await a_waiting_run(server)
    first = await server.emit(EVENT)
    job = await server.claim()
    assert output_of(job)["id"] == first.event_id  # pyright: ignore[reportIndexIssue]

    await server.report(job, "yielded", yielded=waits_for(job, EVENT, name="second"))

    assert (await server.run(run.id)).status is RunStatus.WAITING
    second = await server.emit(EVENT)
    assert output_of(await server.claim(), "second")["id"] == second.event_id  # pyright: ignore[reportIndexIssue]


async def test_one_event_satisfies_many_waits_and_triggers_functions_too(server: Work):
    await server.a_function()
    await server.a_function("bill", on=EVENT)
    await server.a_worker()
    waiting = [(await server.emit()).run_ids[0] for _ in range(3)]
    for job in await server.poll(available=3):
        await server.report(job, "yielded", yielded=waits_for(job, EVENT))

    sent = await server.emit(EVENT)

    assert len(sent.run_ids) == 1
    woken = await server.poll(available=10)
    assert [job.run_id for job in woken] == waiting
    assert {output_of(job)["id"] for job in woken} == {sent.event_id}  # pyright: ignore[reportIndexIssue]


async def test_events_of_one_commit_satisfy_a_wait_once_and_the_first_one_wins(server: Work):
    await a_waiting_run(server)

    sent = await server.call(events.emit_batch, events=[{"event": EVENT, "data": n} for n in range(3)])

    woken = await server.claim()
    assert output_of(woken)["id"] == sent.results[0].event_id  # pyright: ignore[reportIndexIssue]
    assert await server.poll() == []


async def test_a_wait_repeated_keeps_its_first_deadline(server: Work):
    """A handler that was replayed while its wait was open, as after a resume, asks for the very same wait."""
    run = await a_waiting_run(server, timeout="2h")
    deadline = to_datetime(server.now + 2 * HOUR_MS)
    server.move(HOUR_MS)
    await server.db.write(lambda tx: _hand_out_again(tx, run.id))
    job = await server.claim()

    await server.report(job, "yielded", yielded=waits_for(job, EVENT, timeout="2h"))

    (row,) = await server.steps(run.id)
    assert row.wait_timeout == deadline
    assert (await server.run(run.id)).next_attempt_at == deadline
    server.move(HOUR_MS)
    await server.loop("timers")
    assert (await server.run(run.id)).status is RunStatus.FAILED


def _hand_out_again(tx, run_id: str) -> None:
    """Puts a waiting run back into the queue behind the engine's back: no command does, but an old worker could."""
    tx.run("UPDATE runs SET status = 'pending', reason = '' WHERE id = :id", {"id": run_id})
    tx.run(
        "INSERT INTO jobs (run_id, environment, function_id, state, ready_at, job_id, execution_seq, token, worker_id,"
        " expires_at, deadline_at, sequence_base, log_position, avoid)"
        " VALUES (:id, 'default', 'charge', 'ready', 0, '', 0, '', '', 0, 0, 0, 0, '')",
        {"id": run_id},
    )


async def test_a_wait_that_has_its_event_already_goes_straight_on(server: Work):
    await a_waiting_run(server)
    await server.emit(EVENT)
    job = await server.claim()

    await server.report(job, "yielded", yielded=waits_for(job, EVENT))

    again = await server.claim()
    assert [each.name for each in again.completed_steps] == ["approval"]
    assert await count(server, "waits") == 0


async def test_topics_and_inputs_of_invoked_functions_satisfy_no_wait(server: Work):
    run = await a_waiting_run(server, event=">")
    await server.a_function("child", on=None)

    await server.call(pubsub.publish, topic=EVENT, data={})
    await server.call(events.invoke, function_id="child", data={})

    assert (await server.run(run.id)).status is RunStatus.WAITING


async def test_events_of_another_environment_satisfy_no_wait(server: Work):
    run = await a_waiting_run(server)

    await server.emit(EVENT, env="staging")

    assert (await server.run(run.id)).status is RunStatus.WAITING


async def test_a_repeated_emit_with_the_same_key_satisfies_no_second_wait(server: Work):
    run = await a_waiting_run(server)
    await server.emit(EVENT, idempotency_key="k")
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, EVENT, name="second"))

    await server.emit(EVENT, idempotency_key="k")

    assert (await server.run(run.id)).status is RunStatus.WAITING


async def test_waits_outlive_a_restart_of_the_server(database_url: str):
    async with open_server(Work, database_url) as server:
        run = await a_waiting_run(server, data={"orderId": 7}, match="orderId")

    async with open_server(Work, database_url) as server:
        await server.emit(EVENT, data={"orderId": 8})
        assert await server.poll() == []
        await server.emit(EVENT, data={"orderId": 7})
        assert (await server.claim()).run_id == run.id


async def test_a_sleep_then_a_wait_then_the_end(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=sleeps(job, server.now + HOUR_MS))
    # It came while the run slept: the execution that will wait has not begun.
    await server.emit(EVENT)
    server.move(HOUR_MS)
    await server.loop("timers")
    await server.a_worker()
    await server.report(job := await server.claim(), "yielded", yielded=waits_for(job, EVENT))
    await server.emit(EVENT)

    await server.report(await server.claim(), "completed", output=1)

    assert (await server.run(run.id)).status is RunStatus.COMPLETED
    assert [each.status for each in await server.steps(run.id)] == [StepStatus.COMPLETED] * 2


BAD_FILTERS = [
    {"event": ""},
    {"event": "   "},
    {"event": "a.>.b"},
    {"event": "a", "timeout": "soon"},
    {"event": "a", "timeout": "-1h"},
    {"event": "a", "match": "data.x =="},
    {"event": "a", "match": "(" * 5000},
]


async def test_a_wait_that_means_nothing_is_refused_and_the_job_stays(server: Work):
    await server.a_run()
    job = await server.claim()
    for filter_ in BAD_FILTERS:
        fields = {"type": "wait_for_event", "step_id": f"{job.run_id}:approval:0", "event_filter": filter_}
        with pytest.raises(InvalidReport):
            await server.report(job, "yielded", yielded=fields)

    await server.report(job, "completed", output=1)
