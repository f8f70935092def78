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
from tests.support.house import open_house
from tests.support.work import Work, step, text_of


async def a_told_run(house: Work, **config: Any) -> str:
    """A recorded run whose charge fails once, is patched, and completes; something every second."""
    run = await house.a_run(recording=True, retry={"maxAttempts": 1}, **config)
    house.move(1_000)
    job = await house.claim()
    house.move(1_000)
    await house.report(job, "progress", step(job, "reserve", {"seat": 12}))
    house.move(1_000)
    await house.report(job, "failed", step(job, "charge", error={"message": "declined"}))
    house.move(1_000)
    await house.call(controls.patch, step_id=f"{run.id}:charge:0", output=99, reason="paid in cash")
    house.move(1_000)
    await house.call(controls.resume, run_id=run.id)
    house.move(1_000)
    await house.report(await house.claim(), "completed", output="flown")
    return run.id


WORDS = [
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


def words(events: list[AuditEvent]) -> list[str]:
    return [event.event_type for event in events]


async def some_cancelled_lanes(house: Work, count: int) -> None:
    """A second between each."""
    await house.a_function("gather", on="gather.asked", debounce={"period_ms": 5_000, "key": "lane"})
    for number in range(count):
        await house.emit("gather.asked", data={"lane": number})
    for lane in (await house.call(debounces.list_)).entries:
        house.move(1_000)
        await house.call(debounces.cancel, id=lane.id)


async def test_a_cancelled_debounce_is_in_the_trail_with_who_did_it_and_what_was_forgotten(house: Work):
    await house.a_function("gather", on="gather.asked", debounce={"period_ms": 5_000})
    await house.emit("gather.asked", data=1)
    last = await house.emit("gather.asked", data=2)
    (lane,) = (await house.call(debounces.list_)).entries
    await house.call(debounces.cancel, id=lane.id)

    page = await house.call(audit.list_)

    (event,) = page.events
    assert (event.event_type, event.run_id, event.function_id) == ("debounce.cancelled", "", "gather")
    assert (event.metadata, event.created_at) == ({"actor": "api"}, to_datetime(house.now))
    payload = read_json(event.payload)
    assert isinstance(payload, dict)
    assert (payload["debounce_id"], payload["event_id"], payload["events"]) == (lane.id, last.event_id, 2)
    assert (page.total_count, page.next_cursor) == (1, "")
    assert (await house.call(audit.list_, env="staging")).events == []


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_notes_and_facts_are_one_trail_whatever_the_size_of_its_pages(house: Work, limit: int):
    await a_told_run(house)
    await some_cancelled_lanes(house, 3)
    await a_told_run(house)

    found = await whole_list(house, limit)

    told = ["run.created", *WORDS[1:]]
    assert words(found)[::-1] == [*told, *["debounce.cancelled"] * 3, *told]
    assert len({event.id for event in found}) == len(found)
    only = await whole_list(house, limit, event_type="debounce.cancelled")
    assert [event.id for event in only] == [each.id for each in found if each.event_type == "debounce.cancelled"]
    assert await whole_list(house, limit, event_type="debounce.cancelled", function_id="charge") == []


async def test_notes_are_forgotten_after_the_retention_of_runs(database_url: str):
    async with open_house(Work, database_url, run_retention_days=1) as house:
        await some_cancelled_lanes(house, 2)
        house.move(24 * 3_600_000)
        await house.loop("audit-purge")
        assert len((await house.call(audit.list_)).events) == 1

        house.move(1_000)
        await house.loop("audit-purge")
        assert (await house.call(audit.list_)).events == []


async def whole_list(house: Work, limit: int, **filters: Any) -> list[AuditEvent]:
    """All pages of the environment's trail."""
    found: list[AuditEvent] = []
    cursor = ""
    while True:
        page = await house.call(audit.list_, limit=limit, cursor=cursor, **filters)
        assert len(page.events) <= limit
        found += page.events
        cursor = page.next_cursor
        if not cursor:
            return found


async def test_a_trail_tells_what_happened_to_a_run_in_order(house: Work):
    run_id = await a_told_run(house)

    trail = await house.call(audit.trail, run_id=run_id)

    assert words(trail.events) == WORDS
    assert (trail.total_count, trail.next_cursor) == (len(WORDS), None)
    assert [event.created_at for event in trail.events] == sorted(event.created_at for event in trail.events)
    assert {(event.run_id, event.function_id, event.environment_id) for event in trail.events} == {
        (run_id, "charge", "default")
    }
    (patched,) = [event for event in trail.events if event.event_type == "step.patched"]
    told = read_json(patched.payload)
    assert (told["new_output"], told["reason"], patched.metadata) == (99, "paid in cash", {"actor": "api"})


async def test_a_trail_is_told_in_both_shapes_and_both_spellings(house: Work):
    run_id = await a_told_run(house)
    async with house.http() as http:
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
    assert entry["data"]["output"] == {"seat": 12}
    assert (body["totalCount"], body["total_count"]) == (1, 1)
    assert "nextCursor" not in body


async def test_a_trail_comes_in_pages_and_by_word_and_time(house: Work):
    run_id = await a_told_run(house)
    whole = (await house.call(audit.trail, run_id=run_id)).events

    first = await house.call(audit.trail, run_id=run_id, limit=4)
    rest = await house.call(audit.trail, run_id=run_id, limit=100, cursor=first.next_cursor)
    assert [*first.events, *rest.events] == whole
    assert (first.total_count, rest.total_count, rest.next_cursor) == (len(WORDS), len(WORDS), None)

    changes = await house.call(audit.trail, run_id=run_id, event_type="run.status_changed")
    assert (changes.total_count, words(changes.events)) == (3, ["run.status_changed"] * 3)
    after = await house.call(audit.trail, run_id=run_id, from_timestamp=text_of(house.now - 1_000))
    assert words(after.events) == WORDS[-3:]
    before = await house.call(audit.trail, run_id=run_id, to_timestamp=whole[1].created_at.isoformat())
    assert words(before.events) == ["run.created"]


async def test_runs_that_are_not_there_or_not_recorded_have_no_trail(house: Work):
    plain = await house.a_run()

    with pytest.raises(RunNotRecorded):
        await house.call(audit.trail, run_id=plain.id)
    with pytest.raises(RunNotFound):
        await house.call(audit.trail, run_id="run_none")
    assert (await house.call(audit.list_)).events == []


async def test_the_trail_of_an_environment_is_that_of_its_runs_newest_first(house: Work):
    first, second = await a_told_run(house), await a_told_run(house)
    trails = [(await house.call(audit.trail, run_id=run_id)).events for run_id in (first, second)]

    page = await house.call(audit.list_)

    assert page.events == [*reversed(trails[1]), *reversed(trails[0])]
    assert (page.total_count, page.next_cursor, page.retention_days) == (2 * len(WORDS), "", 0)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_of_any_size_hold_every_event_once(house: Work, limit: int):
    await a_told_run(house)
    await a_told_run(house)
    whole = (await house.call(audit.list_, limit=1000)).events

    assert await whole_list(house, limit) == whole
    assert len({event.id for event in whole}) == 2 * len(WORDS)


async def test_an_environment_sees_its_own_runs_only(house: Work):
    await a_told_run(house)

    assert (await house.call(audit.list_, env="staging")).events == []
    assert (await house.call(audit.list_, env="staging")).total_count == 0


async def test_a_trail_is_filtered_by_run_function_word_key_and_time(house: Work):
    run_id = await a_told_run(house)
    began = house.now
    await house.a_function("other", on="other.came", recording=True)
    (other,) = (await house.emit("other.came")).run_ids

    async def found(**filters: Any) -> list[str]:
        return words((await house.call(audit.list_, **filters)).events)

    assert await found(run_id=run_id) == WORDS[::-1]
    assert await found(run_id="run_none") == []
    assert await found(run_id=other) == await found(function_id="other") == ["run.created"]
    assert await found(event_type="step.failed") == await found(action="step.failed") == ["step.failed"]
    assert await found(event_type="secret.read") == []
    assert await found(api_key_id="apikey_1") == []
    assert await found(**{"from": text_of(began)}) == ["run.created", *WORDS[:-3:-1]]
    assert await found(to=text_of(began), event_type="run.created") == ["run.created"]


async def test_a_page_looks_at_so_many_facts_and_no_more(house: Work, monkeypatch: pytest.MonkeyPatch):
    run_id = await a_told_run(house)
    monkeypatch.setattr("ironflow.features.audit.service.CHUNK", 3)
    monkeypatch.setattr("ironflow.features.audit.service.CHUNKS_MAX", 1)

    page = await house.call(audit.list_, event_type="run.created")
    assert page.events == []
    assert page.next_cursor
    assert [(event.run_id, event.event_type) for event in await whole_list(house, 10, event_type="run.created")] == [
        (run_id, "run.created")
    ]


async def test_a_cursor_of_another_list_is_refused_over_rest(house: Work):
    async with house.http() as http:
        answer = await http.get("/api/v1/audit", params={"cursor": "run_1"})
        wrong_time = await http.get("/api/v1/audit", params={"from": "soon"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_AUDIT_CURSOR")
    assert wrong_time.status_code == 400


async def test_the_settings_say_how_long_runs_are_kept(database_url: str):
    async with open_house(Work, database_url, run_retention_days=90) as house:
        settings = await house.call(audit.settings)
        page = await house.call(audit.list_)

    assert (settings.function_recording, settings.retention_days, page.retention_days) == (True, 90, 90)


async def test_a_forgotten_recording_has_no_trail(house: Work):
    run_id = await a_told_run(house, recording_retention="7d")
    house.move(8 * 24 * 3_600_000)
    await house.loop("recordings-forget")

    with pytest.raises(RecordingExpired):
        await house.call(audit.trail, run_id=run_id)
    assert (await house.call(audit.list_)).events == []
