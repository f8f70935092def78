"""Requests as existing clients send them, with the answers that their programs read. Sources: protocol/rest.md 3, 13;
protocol/errors-and-defaults.md; protocol/operating.md 4."""

from typing import Any

import pytest

from tests.subscriptions.following import following
from tests.support.work import Work

REGISTER = "/ironflow.v1.IronflowService/RegisterFunction"


async def test_an_emitted_event_has_its_id_under_three_names(server: Work):
    async with server.http() as client:
        answer = (await client.post("/api/v1/events", json={"name": "order.placed", "data": {}})).json()
    assert answer["id"].startswith("evt_")
    assert answer["id"] == answer["event_id"] == answer["eventId"]
    assert answer["runIds"] == answer["run_ids"] == []


@pytest.mark.parametrize(("retention", "status"), [("7y", 200), ("2w", 200), ("30d", 200), ("7 years", 400)])
async def test_recordings_are_kept_for_weeks_and_years(server: Work, retention: str, status: int):
    function: dict[str, Any] = {"id": "charge", "triggers": [], "recording": True, "recordingRetention": retention}
    async with server.http() as client:
        answer = await client.post(REGISTER, json=function)
    assert answer.status_code == status
    if answer.is_success:
        assert answer.json()["function"]["recordingRetention"] == retention


async def test_a_pattern_that_ends_in_two_tails_is_read_as_one(server: Work):
    async with following(server, "system.run.>.>") as system:
        run = await server.a_run()
        assert (await system.topics())[0] == f"system.run.{run.id}.created"


async def test_the_settings_of_the_audit_trail_are_those_that_clients_know(server: Work):
    async with server.http() as client:
        found = (await client.get("/api/v1/audit/settings")).json()
    flags = ("function_recording", "kv_capture", "changes_require_restart")
    assert {name: type(found[name]) for name in flags} == dict.fromkeys(flags, bool)
    assert (type(found["capture_scope"]), type(found["retention_days"])) == (str, int)
    for group in ("delivery_", "payload_redaction_", "authz_"):
        assert [name for name in found if name.startswith(group)], group


async def test_a_row_of_the_audit_trail_has_the_names_that_clients_read(server: Work):
    run = await server.a_run(recording=True)
    async with server.http() as client:
        found = (await client.get("/api/v1/audit", params={"run_id": run.id, "limit": 1})).json()
    assert {"events", "retention_days", "total_count"} <= set(found)
    (row,) = found["events"]
    assert (row["run_id"], row["function_id"], row["environment_id"]) == (run.id, "charge", "default")
    assert {"id", "event_type", "payload", "created_at"} <= set(row)
