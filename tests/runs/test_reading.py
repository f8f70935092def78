"""Runs are read, listed by filters and pages, counted, and cancelled."""

from typing import Any

import msgspec
import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.base.spelling import BadField
from ironflow.engine.errors import RunEnded
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunNotFound, RunStatus
from tests.support.work import Work, step, text_of


async def one_of_each(server: Work) -> dict[str, str]:
    """Runs in every state, by what they do: the run's id."""
    await server.a_function(retry={"max_attempts": 2})
    await server.a_function("pausing", on=None, retry={"max_attempts": 1, "on_exhausted": "pause"})
    await server.a_worker(function_ids=["charge", "pausing"])
    made: dict[str, str] = {}

    async def run(what: str, event: str = "order.placed") -> Any:
        server.move(10)
        made[what] = (await server.emit(event, {"what": what})).run_ids[0]
        return await server.claim()

    await server.report(await run("completed"), "completed", output=1)
    await server.report(await run("failed"), "failed", error={"message": "no", "retryable": False})
    await server.sleep(await run("sleeping"), until=server.now + 60_000)
    await server.report(await run("retrying"), "failed")
    await server.report(await run("paused", "pausing"), "failed")
    await run("cancelled")
    await server.call(runs.cancel, id=made["cancelled"])
    await run("running")
    server.move(10)
    made["pending"] = (await server.emit(data={"what": "pending"})).run_ids[0]
    return made


SHOWN = {
    "completed": (RunStatus.COMPLETED, "", "completed"),
    "failed": (RunStatus.FAILED, "", "failed"),
    "sleeping": (RunStatus.WAITING, "sleep", "waiting: sleep"),
    "retrying": (RunStatus.PENDING, "", "waiting: retry"),
    "paused": (RunStatus.PAUSED, "injection", "paused: exhausted"),
    "cancelled": (RunStatus.CANCELLED, "", "cancelled"),
    "running": (RunStatus.RUNNING, "", "running"),
    "pending": (RunStatus.PENDING, "", "pending"),
}

FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set(SHOWN)),
    ({"status": "completed"}, {"completed"}),
    ({"status": "RUN_STATUS_FAILED"}, {"failed"}),
    ({"status": 5}, {"cancelled"}),
    ({"status": "running"}, {"running"}),
    ({"status": "pending"}, {"pending", "retrying"}),
    ({"status": "waiting_for_capacity"}, {"pending", "retrying"}),
    ({"status": "waiting"}, {"sleeping"}),
    ({"status": 8}, {"sleeping"}),
    ({"status": "paused"}, {"paused", "sleeping"}),
    ({"statuses": ["completed", "failed"]}, {"completed", "failed"}),
    ({"statuses": ["completed"], "status": "failed"}, {"completed", "failed"}),
    ({"statuses": ["", "RUN_STATUS_UNSPECIFIED"]}, set(SHOWN)),
    ({"function_id": "pausing"}, {"paused"}),
    ({"functionId": "charge", "status": "failed"}, {"failed"}),
    ({"search": "PAUS"}, {"paused"}),
    ({"search": "order.pl"}, set(SHOWN) - {"paused"}),
    ({"search": "nothing"}, set()),
]


async def test_each_state_is_shown_as_clients_know_it_and_found_by_it(server: Work):
    made = await one_of_each(server)
    names = {run_id: what for what, run_id in made.items()}

    for what, (status, reason, state) in SHOWN.items():
        run = await server.run(made[what])
        assert (run.status, run.pause_reason, run.state) == (status, reason, state), what

    for filters, expected in FILTERS:
        answer = await server.call(runs.list_, **filters)
        assert {names[run.id] for run in answer.runs} == expected, filters
        assert answer.total_count == len(expected), filters

    by_id = await server.runs(search=made["failed"])
    assert [run.id for run in by_id] == [made["failed"]]
    by_event = await server.runs(event_id=by_id[0].event_id)
    assert [run.id for run in by_event] == [made["failed"]]


async def test_runs_are_found_by_the_text_of_their_error(server: Work):
    made = await one_of_each(server)
    failed = await server.run(made["failed"])
    message = failed.error.message if failed.error else ""

    for text in (message.upper(), f"{message[:1]}…{message[-1:]}"):
        assert {run.id for run in await server.runs(error=text, status="failed")} == {made["failed"]}
    assert await server.runs(error="100%") == []


async def test_runs_are_found_by_a_value_in_their_output(server: Work):
    await server.a_function()
    await server.a_worker()
    outputs = [
        {"order": {"total": 1200, "paid": True, "items": [{"sku": "a-1"}]}},
        {"order": {"total": "1200", "paid": None}},
        "plain \0 text",
    ]
    made: list[str] = []
    for output in outputs:
        made += (await server.emit()).run_ids
        (job,) = await server.poll(available=1)
        await server.report(job, "completed", output=output)

    found = {
        wanted: [made.index(run.id) for run in await server.runs(output=wanted)]
        for wanted in ("order.total=1200", 'order.total="1200"', "order.paid=true", "order.items.0.sku=a-1", "order=1")
    }

    assert found == {
        "order.total=1200": [1, 0],
        'order.total="1200"': [1],
        "order.paid=true": [0],
        "order.items.0.sku=a-1": [0],
        "order=1": [],
    }
    for wrong in ("total", "=1", "a..b=1", 'a"b=1'):
        with pytest.raises(InvalidArgument, match="PATH=VALUE"):
            await server.runs(output=wrong)


async def test_digits_in_a_path_are_a_name_or_the_number_of_an_element(server: Work):
    await server.a_function()
    await server.a_worker()
    outputs = [
        {"years": {"2026": "now", "0": {"1": "deep"}}},
        {"years": ["now", ["x", "deep"]]},
        ["now"],
        {"-1": "now"},
    ]
    made: list[str] = []
    for output in outputs:
        made += (await server.emit()).run_ids
        (job,) = await server.poll(available=1)
        await server.report(job, "completed", output=output)

    found = {
        wanted: sorted(made.index(run.id) for run in await server.runs(output=wanted))
        for wanted in ("years.2026=now", "years.0=now", "years.0.1=deep", "years.1.1=deep", "0=now", "-1=now", "00=now")
    }

    assert found == {
        "years.2026=now": [0],
        "years.0=now": [1],
        "years.0.1=deep": [0],
        "years.1.1=deep": [1],
        "0=now": [2],
        "-1=now": [2, 3],
        "00=now": [2],
    }


async def test_runs_are_found_by_the_step_that_failed_last(server: Work):
    await server.a_function(retry={"max_attempts": 2})
    await server.a_worker()
    ids: list[str] = []
    for name in ("reserve", "pay", "pay"):
        (run_id,) = (await server.emit()).run_ids
        ids.append(run_id)
        job = await server.claim()
        failed = step(job, name, status="failed", error={"message": "no"})
        retryable = name != "reserve" and len(ids) == 3
        await server.report(job, "failed", failed, error={"message": "no", "retryable": retryable})

    async def found(**wanted: Any) -> list[str]:
        return [run.id for run in (await server.call(runs.list_, **wanted)).runs]

    assert await found(failed_step="pay") == [ids[2], ids[1]]
    assert await found(failed_step="pay", status="failed") == [ids[1]]
    assert await found(failed_step="pay", status="pending", error="no") == [ids[2]]
    assert await found(failed_step="ship") == []


@pytest.mark.parametrize(
    "wanted",
    [{"search": "order.first"}, {"output": "n=0"}, {"error": "nothing like it"}, {"failed_step": "none"}],
)
async def test_a_text_is_looked_for_in_so_many_runs_and_the_answer_has_how_far(server: Work, wanted: dict[str, str]):
    await server.a_function(on="order.*")
    await server.a_worker()
    made: list[runs.Run] = []
    for number in range(6):
        server.move(10)
        (run_id,) = (await server.emit("order.placed" if number else "order.first")).run_ids
        if "output" in wanted:
            await server.report(await server.claim(), "completed", output={"n": number})
        made.append(await server.run(run_id))

    first = await server.call(runs.list_, **wanted, scan_max=4, count=False)
    assert (first.runs, first.next_cursor) == ([], made[2].id)
    assert first.searched_back_to == made[2].created_at
    rest = await server.call(runs.list_, **wanted, scan_max=4, count=False, cursor=first.next_cursor)
    assert (rest.next_cursor, rest.searched_back_to) == (None, None)
    has_one = "search" in wanted or "output" in wanted
    assert [run.id for run in rest.runs] == ([made[0].id] if has_one else [])
    whole = await server.call(runs.list_, **wanted, count=False)
    assert ([run.id for run in whole.runs], whole.searched_back_to) == ([run.id for run in rest.runs], None)


async def test_a_search_of_exactly_all_runs_is_complete(server: Work):
    made = [await server.a_run() for _ in range(3)]
    found = await server.call(runs.list_, search="nowhere", scan_max=3)
    assert (found.runs, found.next_cursor, found.searched_back_to) == ([], None, None)
    partly = await server.call(runs.list_, search="nowhere", scan_max=2)
    assert (partly.runs, partly.next_cursor) == ([], made[1].id)


async def test_a_page_that_is_full_before_the_bound_goes_on_after_its_last_run(server: Work):
    made = [await server.a_run() for _ in range(4)]
    found = await server.call(runs.list_, search="charge", scan_max=3, limit=2)
    assert ([run.id for run in found.runs], found.next_cursor) == ([made[3].id, made[2].id], made[2].id)
    assert found.searched_back_to is None


async def test_no_run_is_counted_where_the_count_is_not_asked_for(server: Work):
    await one_of_each(server)

    page = await server.call(runs.list_, count=False, limit=2)

    assert (len(page.runs), page.total_count) == (2, None)


async def test_the_json_of_a_run_has_the_statuses_that_clients_compare(server: Work):
    made = await one_of_each(server)
    async with server.http() as client:
        for what, status in {
            "sleeping": "paused",
            "retrying": "pending",
            "paused": "paused",
            "failed": "failed",
        }.items():
            shown = (await client.get(f"/api/v1/runs/{made[what]}")).json()
            assert shown["status"] == status, what
            assert shown["functionId"] == shown["function_id"]
            assert None not in shown.values()
            assert shown["pauseRequested"] is False


async def test_runs_are_listed_newest_first_in_pages(server: Work):
    await server.a_function()
    made: list[str] = []
    for _ in range(5):
        server.move(10)
        made += (await server.emit()).run_ids
    made.reverse()

    pages: list[list[str]] = []
    cursor = ""
    while True:
        page = await server.call(runs.list_, limit=2, cursor=cursor)
        pages.append([run.id for run in page.runs])
        assert page.total_count == 5
        cursor = page.next_cursor or ""
        if not cursor:
            break

    assert pages == [made[:2], made[2:4], made[4:]]
    assert [run.id for run in await server.runs(offset=3)] == made[3:]
    assert len(await server.runs(limit=1000)) == 5


async def test_runs_are_found_by_when_they_were_created(server: Work):
    await server.a_function()
    made: list[str] = []
    for _ in range(3):
        made += (await server.emit()).run_ids
        server.move(1_000)
    first = server.now - 3_000

    assert [run.id for run in await server.runs(since=text_of(first + 1_000))] == [made[2], made[1]]
    assert [run.id for run in await server.runs(until=text_of(first + 1_000))] == [made[0]]
    assert await server.runs(since="9999-12-31T23:59:59Z") == []
    assert len(await server.runs(since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59Z")) == 3


async def test_what_is_no_filter_is_refused(server: Work):
    for body in (
        {"limit": -1},
        {"limit": 1001},
        {"offset": -1},
        {"offset": 2**70},
        {"status": "sleeping"},
        {"status": 99},
        {"status": ["completed"]},
        {"statuses": "completed"},
        {"since": "yesterday"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"search": "nul\0"},
        {"function_id": "nul\0"},
    ):
        with pytest.raises(InvalidArgument):
            await server.ask(runs.list_, body)
    for cursor in ("rubbish", "evt_0", "run_" + "0" * 99, "run_' OR 1=1"):
        with pytest.raises(InvalidArgument, match="not a cursor"):
            await server.call(runs.list_, cursor=cursor)


async def test_a_run_that_is_not_there_is_not_found(server: Work):
    made = (await server.a_run()).id
    for run_id, env in (("run_unknown", "default"), (made, "staging")):
        for operation in (runs.get, runs.cancel):
            with pytest.raises(RunNotFound):
                await server.call(operation, id=run_id, env=env)
        with pytest.raises(RunNotFound):
            await server.ask(runs.steps, {"run_id": run_id}, env=env)
    assert await server.runs(env="staging") == []


async def test_steps_are_listed_by_sequence_in_pages(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", *(step(job, f"s{number}", number) for number in range(5)))

    first = await server.ask(runs.steps, {"id": run.id, "limit": 3})
    rest = await server.ask(runs.steps, {"run_id": run.id, "limit": 3, "cursor": first.next_cursor})

    assert [each.name for each in (*first.steps, *rest.steps)] == ["s0", "s1", "s2", "s3", "s4"]
    assert rest.next_cursor is None
    assert [each.sequence for each in await server.steps(run.id)] == [0, 1, 2, 3, 4]
    assert len({each.id for each in await server.steps(run.id)}) == 5


async def test_a_steps_cursor_that_was_not_given_out_is_refused(server: Work):
    run = await server.a_run()
    for cursor in ("rubbish", "-1", "9" * 30, "²"):
        with pytest.raises(InvalidArgument, match="not a cursor"):
            await server.ask(runs.steps, {"run_id": run.id, "cursor": cursor})


@pytest.mark.parametrize("before", ["pending", "running", "sleeping", "retrying"])
async def test_a_run_that_has_not_ended_is_cancelled_and_nothing_wakes_it(server: Work, before: str):
    run = await server.a_run()
    if before != "pending":
        job = await server.claim()
        if before == "sleeping":
            await server.sleep(job, until=server.now + 1_000)
        if before == "retrying":
            await server.report(job, "failed")

    cancelled = await server.call(runs.cancel, id=run.id, reason="not wanted")

    assert (cancelled.status, cancelled.cancellation_cause) == (RunStatus.CANCELLED, "not wanted")
    assert cancelled.ended_at is not None
    server.move(600_000)
    await server.loops()
    await server.a_worker()
    assert await server.poll() == []
    after = await server.run(run.id)
    assert msgspec.json.encode(after) == msgspec.json.encode(cancelled)


async def test_a_run_that_has_ended_is_not_cancelled(server: Work):
    run = await server.a_run(status="pending")
    await server.report(await server.claim(), "completed")
    with pytest.raises(RunEnded):
        await server.call(runs.cancel, id=run.id)
    assert (await server.run(run.id)).status is RunStatus.COMPLETED


async def test_a_request_without_an_id_is_refused(server: Work):
    with pytest.raises(BadField, match="'id' is missing"):
        await server.ask(runs.get, {})
