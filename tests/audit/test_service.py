"""What happened can be read back: of one run in order, of an environment from the newest on."""

from typing import Any

import pytest

from ironflow.base.json import read_json
from ironflow.base.time import to_datetime
from ironflow.features.audit import contract as audit
from ironflow.features.audit.contract import AuditEvent
from ironflow.features.controls import contract as controls
from ironflow.features.debounces import contract as debounces
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.time_travel.contract import RecordingExpired, RunNotRecorded
from tests.support.server import open_server
from tests.support.work import Work, step, text_of


async def an_audited_run(server: Work, **config: Any) -> str:
    """A recorded run whose charge fails once, is patched, and completes; something every second."""
    run = await server.a_run(recording=True, retry={"maxAttempts": 1}, **config)
    server.move(1_000)
    job = await server.claim()
    server.move(1_000)
    await server.report(job, "progress", step(job, "reserve", {"table": 12}))
    server.move(1_000)
    await server.report(job, "failed", step(job, "charge", error={"message": "declined"}))
    server.move(1_000)
    await server.call(controls.patch, step_id=f"{run.id}:charge:0", output=99, reason="paid in cash")
    server.move(1_000)
    await server.call(controls.resume, run_id=run.id)
    server.move(1_000)
    await server.report(await server.claim(), "completed", output="flown")
    return run.id


TYPES = [
    "run.created",
    "run.started",
    "step.started",
    "step.completed",
    "step.started",
    "step.failed",
    "run.status_changed",
    "step.patched",
    "run.resumed",
    "run.status_changed",
    "run.status_changed",
]


def types(events: list[AuditEvent]) -> list[str]:
    return [event.event_type for event in events]


async def some_cancelled_lanes(server: Work, count: int) -> None:
    """A second between each."""
    await server.a_function("gather", on="gather.asked", debounce={"period_ms": 5_000, "key": "lane"})
    for number in range(count):
        await server.emit("gather.asked", data={"lane": number})
    for lane in (await server.call(debounces.list_)).entries:
        server.move(1_000)
        await server.call(debounces.cancel, id=lane.id)


async def test_a_cancelled_debounce_is_in_the_trail_with_its_actor_and_what_was_forgotten(server: Work):
    await server.a_function("gather", on="gather.asked", debounce={"period_ms": 5_000})
    await server.emit("gather.asked", data=1)
    last = await server.emit("gather.asked", data=2)
    (lane,) = (await server.call(debounces.list_)).entries
    await server.call(debounces.cancel, id=lane.id)

    page = await server.call(audit.list_)

    (event,) = page.events
    assert (event.event_type, event.run_id, event.function_id) == ("debounce.cancelled", "", "gather")
    assert (event.metadata, event.created_at) == ({"actor": "api"}, to_datetime(server.now))
    payload = read_json(event.payload)
    assert isinstance(payload, dict)
    assert (payload["debounce_id"], payload["event_id"], payload["events"]) == (lane.id, last.event_id, 2)
    assert (page.total_count, page.next_cursor) == (1, "")
    assert (await server.call(audit.list_, env="staging")).events == []


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_notes_and_facts_are_one_trail_whatever_the_size_of_its_pages(server: Work, limit: int):
    await an_audited_run(server)
    await some_cancelled_lanes(server, 3)
    await an_audited_run(server)

    found = await whole_list(server, limit)

    each_run = ["run.created", *TYPES[1:]]
    assert types(found)[::-1] == [*each_run, *["debounce.cancelled"] * 3, *each_run]
    assert len({event.id for event in found}) == len(found)
    only = await whole_list(server, limit, event_type="debounce.cancelled")
    assert [event.id for event in only] == [each.id for each in found if each.event_type == "debounce.cancelled"]
    assert await whole_list(server, limit, event_type="debounce.cancelled", function_id="charge") == []


async def test_notes_are_forgotten_after_their_own_retention(database_url: str):
    async with open_server(Work, database_url, audit_retention_days=1) as server:
        await some_cancelled_lanes(server, 2)
        server.move(24 * 3_600_000)
        await server.loop("audit-purge")
        assert len((await server.call(audit.list_)).events) == 1

        server.move(1_000)
        await server.loop("audit-purge")
        assert (await server.call(audit.list_)).events == []


async def whole_list(server: Work, limit: int, **filters: Any) -> list[AuditEvent]:
    """All pages of the environment's trail."""
    found: list[AuditEvent] = []
    cursor = ""
    while True:
        page = await server.call(audit.list_, limit=limit, cursor=cursor, **filters)
        assert len(page.events) <= limit
        found += page.events
        cursor = page.next_cursor
        if not cursor:
            return found


async def test_a_trail_has_what_happened_to_a_run_in_order(server: Work):
    run_id = await an_audited_run(server)

    trail = await server.call(audit.trail, run_id=run_id)

    assert types(trail.events) == TYPES
    assert (trail.total_count, trail.next_cursor) == (len(TYPES), None)
    assert [event.created_at for event in trail.events] == sorted(event.created_at for event in trail.events)
    assert {(event.run_id, event.function_id, event.environment_id) for event in trail.events} == {
        (run_id, "charge", "default")
    }
    (patched,) = [event for event in trail.events if event.event_type == "step.patched"]
    details = read_json(patched.payload)
    assert (details["new_output"], details["reason"], patched.metadata) == (99, "paid in cash", {"actor": "api"})


async def test_a_trail_comes_in_both_shapes_and_both_spellings(server: Work):
    run_id = await an_audited_run(server)
    async with server.http() as http:
        answer = await http.post(
            "/ironflow.v1.AuditService/GetAuditTrail", json={"runId": run_id, "eventType": "step.completed", "limit": 1}
        )
    body = answer.json()

    (event,), (entry,) = body["events"], body["entries"]
    assert (event["run_id"], event["event_type"], event["created_at"], event["step_id"]) == (
        event["runId"],
        event["eventType"],
        event["createdAt"],
        event["stepId"],
    )
    assert entry == {
        "id": event["id"],
        "type": "step.completed",
        "timestamp": event["createdAt"],
        "data": event["payload"],
    }
    assert entry["data"]["output"] == {"table": 12}
    assert (body["totalCount"], body["total_count"]) == (1, 1)
    assert "nextCursor" not in body


async def test_a_trail_comes_in_pages_and_by_type_and_time(server: Work):
    run_id = await an_audited_run(server)
    whole = (await server.call(audit.trail, run_id=run_id)).events

    first = await server.call(audit.trail, run_id=run_id, limit=4)
    rest = await server.call(audit.trail, run_id=run_id, limit=100, cursor=first.next_cursor)
    assert [*first.events, *rest.events] == whole
    assert (first.total_count, rest.total_count, rest.next_cursor) == (len(TYPES), len(TYPES), None)

    changes = await server.call(audit.trail, run_id=run_id, event_type="run.status_changed")
    assert (changes.total_count, types(changes.events)) == (3, ["run.status_changed"] * 3)
    after = await server.call(audit.trail, run_id=run_id, from_timestamp=text_of(server.now - 1_000))
    assert types(after.events) == TYPES[-3:]
    before = await server.call(audit.trail, run_id=run_id, to_timestamp=whole[1].created_at.isoformat())
    assert types(before.events) == ["run.created"]


async def test_runs_that_are_not_there_or_not_recorded_have_no_trail(server: Work):
    plain = await server.a_run()

    with pytest.raises(RunNotRecorded):
        await server.call(audit.trail, run_id=plain.id)
    with pytest.raises(RunNotFound):
        await server.call(audit.trail, run_id="run_none")
    assert (await server.call(audit.list_)).events == []


async def test_the_trail_of_an_environment_is_that_of_its_runs_newest_first(server: Work):
    first, second = await an_audited_run(server), await an_audited_run(server)
    trails = [(await server.call(audit.trail, run_id=run_id)).events for run_id in (first, second)]

    page = await server.call(audit.list_)

    assert page.events == [*reversed(trails[1]), *reversed(trails[0])]
    assert (page.total_count, page.next_cursor, page.retention_days) == (2 * len(TYPES), "", 0)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_of_any_size_hold_every_event_once(server: Work, limit: int):
    await an_audited_run(server)
    await an_audited_run(server)
    whole = (await server.call(audit.list_, limit=1000)).events

    assert await whole_list(server, limit) == whole
    assert len({event.id for event in whole}) == 2 * len(TYPES)


async def test_an_environment_sees_its_own_runs_only(server: Work):
    await an_audited_run(server)

    assert (await server.call(audit.list_, env="staging")).events == []
    assert (await server.call(audit.list_, env="staging")).total_count == 0


async def test_a_trail_is_filtered_by_run_function_type_key_and_time(server: Work):
    run_id = await an_audited_run(server)
    began = server.now
    await server.a_function("other", on="other.came", recording=True)
    (other,) = (await server.emit("other.came")).run_ids

    async def found(**filters: Any) -> list[str]:
        return types((await server.call(audit.list_, **filters)).events)

    assert await found(run_id=run_id) == TYPES[::-1]
    assert await found(run_id="run_none") == []
    assert await found(run_id=other) == await found(function_id="other") == ["run.created"]
    assert await found(event_type="step.failed") == await found(action="step.failed") == ["step.failed"]
    assert await found(event_type="secret.read") == []
    assert await found(api_key_id="apikey_1") == []
    assert await found(**{"from": text_of(began)}) == ["run.created", *TYPES[:-3:-1]]
    assert await found(to=text_of(began), event_type="run.created") == ["run.created"]


async def test_a_page_looks_at_so_many_facts_and_no_more(server: Work, monkeypatch: pytest.MonkeyPatch):
    run_id = await an_audited_run(server)
    monkeypatch.setattr("ironflow.features.audit.service.CHUNK", 3)
    monkeypatch.setattr("ironflow.features.audit.service.CHUNKS_MAX", 1)

    page = await server.call(audit.list_, event_type="run.created")
    assert page.events == []
    assert page.next_cursor
    assert [(event.run_id, event.event_type) for event in await whole_list(server, 10, event_type="run.created")] == [
        (run_id, "run.created")
    ]


async def test_a_cursor_of_another_list_is_refused_over_rest(server: Work):
    async with server.http() as http:
        answer = await http.get("/api/v1/audit", params={"cursor": "run_1"})
        wrong_time = await http.get("/api/v1/audit", params={"from": "soon"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_AUDIT_CURSOR")
    assert wrong_time.status_code == 400


async def test_the_settings_set_how_long_runs_are_kept(database_url: str):
    async with open_server(Work, database_url, run_retention_days=90) as server:
        settings = await server.call(audit.settings)
        page = await server.call(audit.list_)

    assert (settings.function_recording, settings.retention_days, page.retention_days) == (True, 90, 90)


async def test_a_forgotten_recording_has_no_trail(server: Work):
    run_id = await an_audited_run(server, recording_retention="7d")
    server.move(8 * 24 * 3_600_000)
    await server.loop("recordings-forget")

    with pytest.raises(RecordingExpired):
        await server.call(audit.trail, run_id=run_id)
    assert (await server.call(audit.list_)).events == []
