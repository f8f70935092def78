"""Values that runs set: they come with reports and are never newer than the steps before them."""

import asyncio
from typing import Any

import msgspec
import pytest

from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import contract as runs
from ironflow.features.time_travel import contract as past
from ironflow.features.values import contract
from ironflow.features.values.contract import InvalidRunValue, RunValueTooLarge, ValueNotFound
from tests.support.server import open_server
from tests.support.work import Work, step, text_of


def setting(name: str, value: Any, number: int) -> dict[str, Any]:
    return {"name": name, "value": value, "number": number}


async def value(server: Work, run_id: str, name: str = "status", **more: Any) -> object:
    return msgspec.json.decode((await server.call(contract.get, run_id=run_id, name=name, **more)).value)


async def a_job(server: Work, **config: Any) -> tuple[str, Assignment]:
    run = await server.a_run(**config)
    return run.id, await server.claim()


async def test_a_value_comes_with_the_report_of_the_steps_before_it(server: Work):
    run_id, job = await a_job(server)
    with pytest.raises(ValueNotFound, match="wait_ms"):
        await value(server, run_id)

    await server.report(job, "progress", step(job, "pack"), values=[setting("status", {"at": "packing"}, 1)])

    found = await server.call(contract.get, run_id=run_id, name="status")
    assert (found.version, found.run_ended) == (1, False)
    assert await value(server, run_id) == {"at": "packing"}
    shown = await server.run(run_id)
    assert shown.values is not None
    assert msgspec.json.decode(shown.values["status"]) == {"at": "packing"}


async def test_a_replay_does_not_set_an_older_value_again(server: Work):
    run_id, job = await a_job(server)
    await server.report(job, "progress", step(job, "pack"), values=[setting("status", "packed", 2)])
    server.move(90_001)
    await server.loop("leases")
    again = await server.claim()

    # The worker died; the next execution reports while it replays the handler's first lines.
    await server.report(again, "progress", values=[setting("status", "begun", 1)])
    assert await value(server, run_id) == "packed"
    await server.report(again, "progress", values=[setting("status", "packed", 2)])
    assert (await server.call(contract.get, run_id=run_id, name="status")).version == 1
    await server.report(again, "completed", output=1, values=[setting("status", "sent", 3)])

    found = await server.call(contract.get, run_id=run_id, name="status")
    assert (msgspec.json.decode(found.value), found.version, found.run_ended) == ("sent", 2, True)


async def test_a_report_that_is_refused_sets_nothing(server: Work):
    run_id, job = await a_job(server)
    server.move(90_001)
    await server.loop("leases")
    await server.claim()

    with pytest.raises(Exception, match="execution"):
        await server.report(job, "progress", values=[setting("status", "late", 1)])

    assert (await server.call(contract.list_, run_id=run_id)).values == []


async def test_values_go_with_the_steps_that_are_forgotten(server: Work):
    run_id, job = await a_job(server, retry={"max_attempts": 1})
    await server.report(job, "progress", step(job, "one"), values=[setting("first", 1, 1)])
    await server.report(job, "progress", step(job, "two"), values=[setting("second", 2, 2)])
    await server.report(job, "failed")

    await server.call(controls.resume, run_id=run_id, from_step="two")

    assert [each.name for each in (await server.call(contract.list_, run_id=run_id)).values] == ["first"]
    job = await server.claim()
    await server.report(job, "progress", step(job, "two"), values=[setting("second", 3, 2)])
    assert await value(server, run_id, "second") == 3


async def test_a_reader_waits_for_a_value_and_for_a_newer_one(server: Work):
    run_id, job = await a_job(server)

    waiting = asyncio.create_task(value(server, run_id, wait_ms=30_000))
    await asyncio.sleep(0)
    await server.report(job, "progress", values=[setting("status", "one", 1)])
    assert await waiting == "one"
    waiting = asyncio.create_task(value(server, run_id, wait_ms=30_000, after=1))
    await asyncio.sleep(0)
    await server.report(job, "progress", values=[setting("status", "two", 2)])

    assert await waiting == "two"


async def test_the_end_of_the_run_ends_the_wait(server: Work):
    run_id, job = await a_job(server)
    waiting = asyncio.create_task(value(server, run_id, wait_ms=60_000))
    await asyncio.sleep(0)

    await server.report(job, "completed", output=1)

    with pytest.raises(ValueNotFound, match="It has ended"):
        await waiting


async def test_a_value_that_a_replay_sets_again_is_neither_published_nor_in_the_timeline(server: Work):
    run_id, job = await a_job(server, recording=True)
    seen: list[str] = []
    server.db.on_published(
        lambda notices: seen.extend(each.data for each in notices.notices() if "value" in each.parts)
    )
    await server.report(job, "progress", step(job, "pack"), values=[setting("status", "packed", 2)])
    server.move(90_001)
    await server.loop("leases")
    again = await server.claim()

    await server.report(again, "progress", values=[setting("status", "begun", 1)])
    await server.report(again, "progress", values=[setting("status", "packed", 2), setting("place", "Bonn", 3)])

    assert [msgspec.json.decode(each)["value"] for each in seen] == ["packed", "Bonn"]
    events = (await server.call(past.timeline, run_id=run_id)).events
    assert [each.summary for each in events if each.event_type == "run.values_set"] == ["Set status", "Set place"]


async def test_values_are_in_time_travel_and_in_the_timeline(server: Work):
    run_id, job = await a_job(server, recording=True)
    await server.report(job, "progress", step(job, "one"), values=[setting("status", "one", 1)])
    then = server.now
    server.move(1_000)
    await server.report(job, "progress", step(job, "two"), values=[setting("status", "two", 2)])

    earlier = await server.call(past.state_at, run_id=run_id, timestamp=text_of(then))
    now = await server.call(past.state_at, run_id=run_id)
    events = (await server.call(past.timeline, run_id=run_id)).events

    assert [msgspec.json.decode((each.values or {})["status"]) for each in (earlier, now)] == ["one", "two"]
    assert [each.summary for each in events if each.event_type == "run.values_set"] == ["Set status", "Set status"]


@pytest.mark.parametrize(
    "given",
    [setting("", 1, 1), setting("a/b", 1, 1), setting("x" * 129, 1, 1), setting("big", "x" * 70_000, 1)],
)
async def test_values_that_are_refused(server: Work, given: dict[str, Any]):
    _, job = await a_job(server)

    with pytest.raises((InvalidRunValue, RunValueTooLarge)):
        await server.report(job, "progress", values=[given])


async def test_a_redacted_run_has_no_values(server: Work):
    run_id, job = await a_job(server, recording=True)
    await server.report(job, "completed", output=1, values=[setting("status", "ada@example.com", 1)])

    await server.call(redaction.redact_run, id=run_id)

    assert (await server.call(contract.list_, run_id=run_id)).values == []
    facts = await server.db.read(lambda tx: tx.rows("SELECT body FROM facts"))
    assert not any("ada@example.com" in row[0] for row in facts)


async def test_purged_runs_have_no_values(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        _, job = await a_job(server)
        await server.report(job, "completed", output=1, values=[setting("status", 1, 1)])
        server.move(3 * 24 * 3_600_000)
        await server.loops()

        assert await server.db.read(lambda tx: tx.rows("SELECT name FROM run_values")) == []


async def test_a_value_is_published_to_subscribers(server: Work):
    run_id, job = await a_job(server)
    seen: list[tuple[str, ...]] = []
    server.db.on_published(lambda notices: seen.extend(each.parts for each in notices.notices()))

    await server.report(job, "progress", values=[setting("status", 1, 1)])

    assert ("run", run_id, "value", "status") in seen
    assert (await server.call(runs.get, id=run_id)).version > 1


async def test_a_list_of_values_is_read_in_pages(server: Work):
    run_id, job = await a_job(server)
    for number in (0, 1):
        names = [f"n{number}{each:02d}" for each in range(100)]
        await server.report(job, "progress", values=[setting(name, name, 1) for name in names])

    first = await server.call(contract.list_, run_id=run_id)
    assert (len(first.values), first.next_cursor) == (100, "n099")
    second = await server.call(contract.list_, run_id=run_id, cursor=first.next_cursor)
    assert ([each.name for each in second.values], second.next_cursor) == (
        [f"n1{each:02d}" for each in range(100)],
        None,
    )
    (one,) = (await server.call(contract.list_, run_id=run_id, cursor="n098", limit=1)).values
    assert one.name == "n099"


async def test_large_values_of_a_run_are_shown_with_it(server: Work):
    run_id, job = await a_job(server)
    await server.report(job, "progress", values=[setting(f"n{each}", "x" * 60_000, 1) for each in range(6)])

    shown = (await server.call(runs.get, id=run_id)).values

    assert shown is not None
    assert {name: len(bytes(each)) for name, each in shown.items()} == {f"n{each}": 60_002 for each in range(6)}
