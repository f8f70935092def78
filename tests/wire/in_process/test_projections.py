"""The shapes of projections over REST and Connect JSON. Source: protocol/rest.md 12, projections.md."""

from typing import Any

import httpx
import pytest

from tests.support.projections import a_projection
from tests.support.work import Work

AT = "/api/v1/projections"
RPC = "/ironflow.v1.ProjectionService"


async def get(client: httpx.AsyncClient, path: str, **more: Any) -> Any:
    answer = await client.get(f"{AT}{path}", **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_list_is_bare_without_an_environment_and_an_object_with_one(server: Work):
    await a_projection(server)
    await a_projection(server, "mailer", mode="external")
    async with server.http() as client:
        bare = await get(client, "")
        named = await get(client, "", headers={"X-Ironflow-Environment": "default"})
        other = await get(client, "", headers={"X-Ironflow-Environment": "staging"})

    assert [each["name"] for each in bare] == ["mailer", "totals"]
    assert named == {"projections": bare}
    assert other == {"projections": []}
    assert bare[1] == {
        "name": "totals", "status": "active", "mode": "managed", "type": "sdk", "lag": 0,
        "last_event_seq": 0, "lastEventSeq": 0, "without_key": 0, "withoutKey": 0,
        "updated_at": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
    }  # fmt: skip


async def test_an_envelope_has_no_state_before_the_first_save_and_all_of_it_after(server: Work):
    runner = await a_projection(server)
    event_id = (await server.emit("order.placed")).event_id
    async with server.http() as client:
        before = await get(client, "/totals")
        await runner.save_state([1, None], 1)
        after = await get(client, "/totals?partition=__global__")
        unknown = await client.get(f"{AT}/missing")

    assert before == {
        "name": "totals", "version": 1, "mode": "managed", "status": "active", "last_event_seq": 0,
        "updated_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert after == {
        **before,
        "last_event_seq": 1,
        "state": {
            "projection_name": "totals", "environment_id": "default", "partition_key": "__global__", "state": [1, None],
            "last_event_id": event_id, "last_event_seq": 1, "last_event_time": "2026-01-01T00:00:00Z", "version": 1,
            "updated_at": "2026-01-01T00:00:00Z",
        },
    }  # fmt: skip
    assert (unknown.status_code, "projection not found" in unknown.json()["error"]) == (404, True)


async def test_a_state_of_any_kind_is_saved_and_read_over_connect(server: Work):
    await a_projection(server)
    await server.emit("order.placed", 1)
    await server.emit("order.placed", [2])
    async with server.http() as client:
        polled = (await client.post(f"{RPC}/PollProjectionEvents", json={"name": "totals", "batch_size": 10})).json()
        saved = await client.post(
            f"{RPC}/SaveProjectionState", json={"name": "totals", "stateValue": "text", "last_event_seq": "2"}
        )
        found = (await client.post(f"{RPC}/GetProjection", json={"name": "totals"})).json()

    first, second = polled["events"]
    assert (first["data"], first["dataValue"], first["seq"], first["kind"]) == (
        1,
        1,
        "1",
        "PROJECTION_EVENT_KIND_EVENT",
    )
    assert (second["data"], first["metadata"]) == ([2], {"__partition": "__global__"})
    assert saved.json() == {"ok": True}
    assert (found["state"], found["stateValue"], found["version"], found["mode"]) == ("text", "text", "1", "managed")
    assert found["registry"]["lastEventSeq"] == "2"


async def test_a_rebuild_needs_no_body_and_answers_both_spellings(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    await runner.work_off()
    async with server.http() as client:
        none = await client.get(f"{AT}/totals/rebuild")
        dry = (await client.post(f"{AT}/totals/rebuild", json={"dry_run": True})).json()
        started = (await client.post(f"{AT}/totals/rebuild")).json()
        shown = await get(client, "/totals/rebuild")
        cancelled = (await client.post(f"{AT}/totals/cancel")).json()

    assert none.status_code == 404
    assert (dry["status"], dry["totalEvents"]) == ("dry_run_ok", 1)
    assert (started["name"], started["status"], started["progress"]) == ("totals", "rebuilding", 0)
    assert started["job_id"] == started["jobId"] == shown["job_id"]
    assert started["startedAt"] == "2026-01-01T00:00:00Z"
    assert cancelled == {"status": "active"}


async def test_a_wait_over_rest_counts_milliseconds_and_a_timeout_is_no_error(server: Work):
    runner = await a_projection(server)
    event_id = (await server.emit("order.placed")).event_id
    async with server.http() as client:
        late = await get(client, "/totals/catchup?minSeq=1&timeout=10")
        await runner.work_off()
        done = await get(client, "/totals/catchup?minSeq=1&timeout=1000")
        batch = await client.post(
            f"{AT}/catchup/batch",
            json={"items": [{"name": "totals", "minSeq": "1"}, {"name": "missing", "minSeq": "1"}], "timeoutMs": 1000},
        )
        by_event = await client.post(
            f"{AT}/wait-for-event", json={"eventId": event_id, "projection": "totals", "timeoutMs": 1000}
        )
        await client.post(f"{AT}/totals/pause")
        paused = await client.get(f"{AT}/totals/catchup?minSeq=9&timeout=10")

    reached = {
        "caughtUp": True, "timedOut": False, "currentSeq": 1, "targetSeq": 1, "behindByEvents": 0, "rebuilding": False,
        "mode": "managed",
    }  # fmt: skip
    assert late == {**reached, "caughtUp": False, "timedOut": True, "currentSeq": 0, "behindByEvents": 1}
    assert done == by_event.json() == reached
    first, second = batch.json()["results"]
    assert (first, list(second)) == ({"result": reached}, ["error"])
    assert (paused.status_code, paused.json()["code"]) == (409, "failed_precondition")


async def test_durations_over_connect_are_texts(server: Work):
    await a_projection(server)
    async with server.http() as client:
        acquired = (await client.post(f"{RPC}/AcquireProjectionLease", json={"name": "totals"})).json()
        refused = (await client.post(f"{RPC}/AcquireProjectionLease", json={"name": "totals"})).json()
        waited = await client.post(
            f"{RPC}/WaitProjectionCatchup", json={"name": "totals", "minSeq": "1", "timeout": "0.010s"}
        )

    assert (acquired["granted"], acquired["ttl"], acquired["lease"]["epoch"]) == (True, "30s", "1")
    assert refused == {"granted": False}
    assert (waited.json()["timedOut"], waited.json()["targetSeq"]) == (True, "1")


async def test_a_lost_lease_is_aborted_with_a_message(server: Work):
    await a_projection(server)
    await server.emit("order.placed")
    async with server.http() as client:
        lost = await client.post(
            f"{RPC}/SaveProjectionState",
            json={"name": "totals", "state": {}, "lastEventSeq": 1, "lease": {"token": "x", "epoch": "1"}},
        )
    assert (lost.status_code, lost.json()["code"]) == (409, "aborted")
    assert "projection lease lost" in lost.json()["message"]


@pytest.mark.parametrize("path", ["/totals", "/totals/pause", "/totals/resume"])
async def test_pause_resume_and_delete_answer_a_status(server: Work, path: str):
    await a_projection(server)
    async with server.http() as client:
        method = "DELETE" if path == "/totals" else "POST"
        answer = await client.request(method, f"{AT}{path}")
    statuses = {"/totals": "deleted", "/totals/pause": "paused", "/totals/resume": "active"}
    assert (answer.status_code, answer.json()) == (200, {"status": statuses[path]})
