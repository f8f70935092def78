"""Audit notes: what is noted, refusals, verifying the chain, and cutting it by retention."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ironflow.features.audit_notes.service import Refusals
from ironflow.storage.port import Tx
from tests.support.keys import SEED, Guarded, open_guarded

DAY_MS = 86_400_000
MASTER = "11" * 32


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url, master_key=MASTER, audit_retention_days=2) as opened:
        yield opened


async def notes(server: Guarded, **filters: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in {"only": "notes", "limit": "1000", **filters}.items())
    return (await server.request("GET", f"/api/v1/audit?{query}"))["events"]


async def verify(server: Guarded) -> dict[str, Any]:
    return await server.request("GET", "/api/v1/audit/verify")


async def administer(server: Guarded) -> None:
    """One change of each kind."""
    await server.an_environment("staging")
    await server.request("PUT", "/api/v1/environments/staging", {"color": "red"})
    policy = await server.request(
        "POST", "/api/v1/policies", {"name": "p", "effect": "allow", "actions": "emit:*", "resources": "*"}
    )
    await server.request("PATCH", f"/api/v1/policies/{policy['id']}", {"effect": "deny"})
    role = await server.request("POST", "/api/v1/roles", {"name": "r"})
    await server.request("PATCH", f"/api/v1/roles/{role['id']}", {"name": "r2"})
    await server.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": policy["id"]})
    await server.request("DELETE", f"/api/v1/roles/{role['id']}/policies/{policy['id']}")
    await server.request("DELETE", f"/api/v1/roles/{role['id']}")
    await server.request("DELETE", f"/api/v1/policies/{policy['id']}")
    key = await server.a_key("role_viewer")
    await server.request("PUT", f"/api/v1/apikeys/{key['id']}/roles", {"role_ids": ["role_developer"]})
    await server.request("DELETE", f"/api/v1/apikeys/{key['id']}")
    await server.request("PUT", "/api/v1/secrets/K", {"value": "value-of-k"})
    await server.request("PUT", "/api/v1/secrets/K", {"value": "value-of-k2"})
    await server.request("PUT", "/api/v1/config/limits", {"a": 1})
    await server.request("PATCH", "/api/v1/config/limits", {"a": 2})
    await server.request("DELETE", "/api/v1/config/limits")
    schema = {"event_name": "order.placed", "version": 1, "schema_json": '{"type":"object"}'}
    await server.request("POST", "/api/v1/events/schemas", schema)
    await server.request("DELETE", "/api/v1/events/schemas/order.placed/1")


KINDS = [
    "environment.created", "environment.updated", "policy.created", "policy.updated", "role.created", "role.renamed",
    "role.policy_assigned", "role.policy_removed", "role.deleted", "policy.deleted", "api_key.created",
    "api_key.roles_changed", "api_key.revoked", "secret.created", "secret.updated", "config.changed",
    "config.changed", "config.deleted", "schema.registered", "schema.deleted",
]  # fmt: skip


async def test_each_administrative_change_is_noted_with_its_rule_and_key(guarded: Guarded):
    await administer(guarded)
    found = (await notes(guarded))[::-1]
    assert [each["event_type"] for each in found] == KINDS
    assert {each["payload"]["rule"] for each in found} == {"role_admin"}
    actors = {each["metadata"]["actor"] for each in found}
    assert len(actors) == 1
    key_id = actors.pop().removeprefix("key:")
    assert len(await notes(guarded, api_key_id=key_id)) == len(KINDS)
    assert await notes(guarded, api_key_id="apikey_other") == []
    (updated,) = await notes(guarded, action="policy.updated")
    payload = updated["payload"]
    assert (payload["before"]["effect"], payload["after"]["effect"]) == ("allow", "deny")
    (secret,) = await notes(guarded, event_type="secret.updated")
    assert (secret["payload"]["revision_before"], secret["payload"]["revision"]) == (1, 2)
    assert (await verify(guarded)) | {"brokenAt": 0} == {
        "valid": True, "notes": 20, "first": 1, "last": 20, "anchor": "none", "brokenAt": 0,
    }  # fmt: skip


async def test_run_controls_are_noted(guarded: Guarded):
    function = {"id": "charge", "triggers": [{"event": "order.placed"}]}
    await guarded.request("POST", "/ironflow.v1.IronflowService/RegisterFunction", function)
    emitted = await guarded.request("POST", "/api/v1/events", {"name": "order.placed", "data": {}})
    (run_id,) = emitted["run_ids"]
    await guarded.request("POST", f"/api/v1/runs/{run_id}/pause", {"reason": "rain"})
    paused = await guarded.request("GET", f"/api/v1/runs/{run_id}")
    await guarded.request("POST", f"/api/v1/runs/{run_id}/resume", {"reason": "no rain"})
    await guarded.request("POST", f"/api/v1/runs/{run_id}/cancel", {"reason": "a mistake"})
    note, resume, pause = await notes(guarded)
    assert [each["payload"]["reason"] for each in (pause, resume)] == ["rain", "no rain"]
    assert (paused["paused_by"], paused["pause_note"]) == (pause["metadata"]["actor"], "rain")
    assert (note["event_type"], note["function_id"]) == ("run_control.cancel", "charge")
    assert (note["payload"]["run_id"], note["payload"]["reason"]) == (run_id, "a mistake")


async def test_a_list_goes_on_beyond_many_notes(guarded: Guarded):
    for number in range(120):
        await guarded.request("PUT", "/api/v1/config/limits", {"a": number})
    await guarded.an_environment("staging")
    assert len(await notes(guarded)) == 121
    found: list[str] = []
    cursor = ""
    while True:
        page = await guarded.request("GET", f"/api/v1/audit?only=notes&limit=50&cursor={cursor}")
        found += [each["id"] for each in page["events"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(found) == len(set(found)) == 121


async def test_a_change_that_fails_is_not_noted(guarded: Guarded):
    assert await guarded.status("DELETE", "/api/v1/roles/role_none") == 404
    assert await notes(guarded) == []


async def test_equal_refusals_are_counted_in_one_note_a_minute(guarded: Guarded):
    viewer = await guarded.a_key("role_viewer")
    before = len(await notes(guarded))
    for _ in range(3):
        assert await guarded.status("POST", "/api/v1/roles", {"name": "x"}, key=viewer["key"]) == 403
        assert await guarded.status("GET", "/api/v1/runs", key="ifkey_wrong") == 401
        await guarded.loop("audit-refusals")
    guarded.move(65_000)
    await guarded.loop("audit-refusals")
    await guarded.loop("audit-refusals")

    found = [each for each in await notes(guarded) if each["event_type"] == "access.refused"]
    assert len(await notes(guarded)) == before + 2
    shown = {(each["metadata"]["actor"], each["payload"]["code"], each["payload"]["refusals"]) for each in found}
    assert shown == {(f"key:{viewer['id']}", "UNAUTHORIZED", 3), ("", "UNAUTHENTICATED", 3)}
    assert {each["payload"]["summary"] for each in found} == {
        "roles:write was refused 3 times with UNAUTHORIZED",
        "runs:read was refused 3 times with UNAUTHENTICATED",
    }
    assert "ifkey_wrong" not in str(found)
    assert (await verify(guarded))["valid"]


async def test_a_single_refusal_is_noted_as_one(guarded: Guarded):
    assert await guarded.status("GET", "/api/v1/runs", key="ifkey_wrong") == 401
    await guarded.loop("audit-refusals")
    guarded.move(65_000)
    await guarded.loop("audit-refusals")
    await guarded.loop("audit-refusals")

    (found,) = [each for each in await notes(guarded) if each["event_type"] == "access.refused"]
    assert found["payload"]["summary"] == "runs:read was refused once with UNAUTHENTICATED"


async def test_a_flood_of_different_refusals_takes_bounded_memory(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ironflow.features.audit_notes.service.REFUSALS_MAX", 5)
    for number in range(20):
        assert await guarded.status("GET", f"/api/v1/runs/run_{number}", key="ifkey_wrong") == 401
        assert await guarded.status("POST", f"/api/v1/config/{number}", {}, key="ifkey_wrong") == 401
    assert sum(guarded.part(Refusals).take().values()) == 40


async def test_a_key_of_one_environment_sees_the_notes_of_that_one(guarded: Guarded):
    await guarded.an_environment("staging")
    key = await guarded.a_key("role_admin", env="staging")
    await guarded.request("PUT", "/api/v1/config/limits", {"a": 1}, key=key["key"])
    await guarded.request("PUT", "/api/v1/config/limits", {"a": 1})
    seen = await guarded.request("GET", "/api/v1/audit?only=notes", key=key["key"])
    assert [each["environment_id"] for each in seen["events"]] == ["staging"]
    assert await guarded.status("GET", "/api/v1/audit/verify", key=key["key"]) == 403


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("DELETE FROM audit_notes WHERE position = 3", 3),
        ("DELETE FROM audit_notes WHERE position = 1", 1),
        ("DELETE FROM audit_notes WHERE position > 18", 19),
        ("UPDATE audit_notes SET actor = 'key:other' WHERE position = 5", 5),
        ("UPDATE audit_heads SET anchor_position = 2, anchor_hash = 'x', anchor_signature = ''", 3),
    ],
)
async def test_a_removed_or_changed_note_is_found(guarded: Guarded, change: str, broken_at: int):
    await administer(guarded)
    await guarded.db.write(lambda tx: tx.run(change))
    found = await verify(guarded)
    assert (found["valid"], found["broken_at"]) == (False, broken_at)


async def test_retention_cuts_from_the_beginning_and_leaves_a_signed_anchor(guarded: Guarded):
    await administer(guarded)
    guarded.move(2 * DAY_MS)
    await guarded.an_environment("later")
    guarded.move(1)
    await guarded.loop("audit-purge")

    assert [each["event_type"] for each in await notes(guarded)] == ["environment.created"]
    assert await verify(guarded) | {"brokenAt": 0} == {
        "valid": True, "notes": 1, "first": 21, "last": 21, "anchor": "signed", "brokenAt": 0,
    }  # fmt: skip

    # An anchor that is put further on does not hide what was removed.
    def tamper(tx: Tx) -> None:
        tx.run("DELETE FROM audit_notes")
        tx.run("UPDATE audit_heads SET anchor_position = position, anchor_hash = hash")

    await guarded.db.write(tamper)
    assert (await verify(guarded))["reason"] == "the signature of the anchor is wrong"


async def test_concurrent_changes_are_one_chain(guarded: Guarded):
    await asyncio.gather(*(guarded.an_environment(f"e{number}") for number in range(12)))
    found = await verify(guarded)
    assert (found["valid"], found["notes"]) == (True, 12)


async def test_the_first_key_is_not_in_any_note(guarded: Guarded):
    await administer(guarded)
    assert SEED not in str(await notes(guarded))
