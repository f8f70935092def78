"""Policies over the wire: what a key with a role of one's own may do, and who decides."""

import asyncio
from typing import Any

import pytest

from ironflow.base.call import Credentials, Principal
from ironflow.base.errors import IronflowError, Unavailable
from ironflow.features.api_keys.service import AccessChanged, Authenticator
from ironflow.storage.port import Tx
from tests.support.keys import SEED, Guarded, open_guarded

EMIT = {"name": "order.placed", "data": {}}


async def a_role(guarded: Guarded, *policies: dict[str, Any]) -> str:
    role = await guarded.request("POST", "/api/v1/roles", {"name": "own"})
    for fields in policies:
        made = await guarded.request("POST", "/api/v1/policies", {"name": "p", "resources": "*", **fields})
        await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": made["id"]})
    return role["id"]


async def test_a_key_with_the_documented_policy_emits_and_does_nothing_else(guarded: Guarded):
    policy = {"name": "allow-emit", "effect": "allow", "actions": "emit:*", "resources": "*"}
    key = (await guarded.a_key(await a_role(guarded, policy)))["key"]

    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 200
    for path in ("runs", "events", "functions", "kv/buckets", "apikeys", "policies", "roles", "environments"):
        assert await guarded.status("GET", f"/api/v1/{path}", key=key) == 403
    assert await guarded.status("PUT", "/api/v1/kv/buckets/b/keys/k", {}, key=key) == 403


async def test_a_policy_about_some_events_allows_those_only(guarded: Guarded):
    role = await a_role(guarded, {"effect": "allow", "actions": "events:emit", "resources": "events/order.*"})
    key = (await guarded.a_key(role))["key"]

    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 200
    assert await guarded.status("POST", "/api/v1/events", {"name": "cart.filled", "data": {}}, key=key) == 403


async def test_a_policy_about_some_streams_holds_for_the_states_of_entities(guarded: Guarded):
    everything = {"effect": "allow", "actions": "*"}
    hidden = {"name": "no", "effect": "deny", "actions": "entities:read", "resources": "entities/payment:*"}
    key = (await guarded.a_key(await a_role(guarded, everything, hidden)))["key"]

    assert await guarded.status("GET", "/api/v1/streams/payment:p1/events", key=key) == 403
    assert await guarded.status("GET", "/api/v1/entities/payment/p1", key=key) == 403
    assert await guarded.status("GET", "/api/v1/entities/payment", key=key) == 403
    assert await guarded.status("GET", "/api/v1/entities/cart/p1", key=key) == 404
    assert await guarded.status("GET", "/api/v1/entities/cart", key=key) == 200


async def test_a_condition_reads_the_fields_of_the_request(guarded: Guarded):
    condition = 'request.event == "order.placed"'
    role = await a_role(guarded, {"effect": "allow", "actions": "events:emit", "condition": condition})
    key = (await guarded.a_key(role))["key"]

    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 200
    assert await guarded.status("POST", "/api/v1/events", {"name": "cart.filled", "data": {}}, key=key) == 403


async def test_a_deny_added_to_a_role_holds_for_the_next_request(guarded: Guarded):
    role = await a_role(guarded, {"effect": "allow", "actions": "*"})
    key = (await guarded.a_key(role))["key"]
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 200

    denied = await guarded.request("POST", "/api/v1/policies", {"name": "no", "effect": "deny", "actions": "emit:*"})
    await guarded.request("POST", f"/api/v1/roles/{role}/policies", {"policy_id": denied["id"]})
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 403

    await guarded.request("PATCH", f"/api/v1/policies/{denied['id']}", {"actions": "events:read"})
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 200
    assert await guarded.status("GET", "/api/v1/events", key=key) == 403

    await guarded.request("DELETE", f"/api/v1/policies/{denied['id']}")
    assert await guarded.status("GET", "/api/v1/events", key=key) == 200
    assert (await guarded.request("GET", f"/api/v1/roles/{role}"))["api_key_count"] == 1


async def test_an_update_removes_a_condition_with_an_empty_text(guarded: Guarded):
    fields = {"name": "p", "effect": "allow", "actions": "*", "condition": "false"}
    made = await guarded.request("POST", "/api/v1/policies", fields)
    changed = await guarded.request("PATCH", f"/api/v1/policies/{made['id']}", {"condition": ""})
    assert (changed["condition"], changed["effect"], changed["actions"]) == ("", "allow", "*")


async def test_explain_names_the_rule(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    asked = {"action": "events:emit", "subject": made["id"]}
    refused = await guarded.request("POST", "/api/v1/authz/explain", asked)
    allowed = await guarded.request("POST", "/api/v1/authz/explain", {**asked, "action": "events:read"})

    assert (refused["allowed"], refused["rule"]) == (False, "")
    assert (allowed["allowed"], allowed["rule"]) == (True, "role_viewer")


async def test_a_condition_can_be_tried(guarded: Guarded):
    body = {"condition": 'request.namespace == "production"', "request": {"namespace": "production"}}
    holds = await guarded.request("POST", "/api/v1/policies/test", body)
    missing = await guarded.request("POST", "/api/v1/policies/test", {"condition": body["condition"]})

    assert holds == {"holds": True, "decided": True, "effect": "allow"}
    assert missing == {"holds": False, "decided": False, "effect": "none"}
    assert await guarded.status("POST", "/api/v1/policies/test", {"condition": "request."}) == 400


async def test_a_role_in_use_or_built_in_stays(guarded: Guarded):
    role = await a_role(guarded)
    made = await guarded.a_key(role)
    assert await guarded.status("DELETE", f"/api/v1/roles/{role}") == 400
    assert await guarded.status("DELETE", "/api/v1/roles/role_admin") == 400
    await guarded.request("DELETE", f"/api/v1/apikeys/{made['id']}")
    assert await guarded.status("DELETE", f"/api/v1/roles/{role}") == 204
    assert [each["id"] for each in await guarded.request("GET", "/api/v1/roles")] == [
        "role_admin",
        "role_developer",
        "role_viewer",
    ]


async def test_a_key_of_one_environment_changes_nothing_that_all_share(guarded: Guarded):
    await guarded.an_environment("staging")
    key = (await guarded.a_key("role_admin", env="staging"))["key"]
    for method, path, body in (
        ("POST", "/api/v1/policies", {"name": "p", "effect": "allow", "actions": "*"}),
        ("POST", "/api/v1/roles", {"name": "r"}),
        ("POST", "/api/v1/environments", {"name": "e"}),
        ("DELETE", "/api/v1/environments/staging", None),
    ):
        assert await guarded.status(method, path, body, key=key) == 403
    assert await guarded.status("GET", "/api/v1/policies", key=SEED) == 200


@pytest.mark.parametrize("principal", [Principal("key:apikey_1"), Principal("user:user_1", session="session_1")])
async def test_a_change_of_a_policy_ends_connections_whose_access_is_not_known(guarded: Guarded, principal: Principal):
    closed = asyncio.Event()
    with guarded.dispatch.connections.opened("stream", principal, lambda _: closed.set()):
        await a_role(guarded, {"effect": "deny", "actions": "emit:*"})
        await asyncio.wait_for(closed.wait(), 30)


async def test_a_change_of_a_policy_holds_on_every_node(postgres_url: str):
    async with open_guarded(postgres_url) as here, open_guarded(postgres_url) as there:
        role = await a_role(here, {"effect": "allow", "actions": "*"})
        made = await here.a_key(role)
        assert await there.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 200
        closed = asyncio.Event()
        principal = await principal_of(there, made)
        there.dispatch.connections.opened("stream", principal, lambda _: closed.set()).__enter__()

        denied = await here.request("POST", "/api/v1/policies", {"name": "no", "effect": "deny", "actions": "emit:*"})
        await here.request("POST", f"/api/v1/roles/{role}/policies", {"policy_id": denied["id"]})

        await asyncio.wait_for(closed.wait(), 30)
        assert await there.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 403


@pytest.mark.parametrize("how", ["policy", "role", "key", "missed"])
async def test_a_change_that_no_node_was_notified_of_is_found_by_the_loop(postgres_url: str, how: str):
    """As behind a pooler that drops LISTEN, or while it reconnects."""
    async with open_guarded(postgres_url) as here, open_guarded(postgres_url) as there:
        role = await a_role(here, {"effect": "allow", "actions": "*"})
        made, other = await here.a_key(role), await here.a_key("role_developer")
        closed: dict[str, IronflowError] = {}
        keys = there.part(Authenticator)
        # The notifications of the preparation come before this one.
        prepared = asyncio.Event()
        there.inside.notifier.listen("prepared", lambda _: prepared.set())
        await here.db.write(lambda tx: tx.notify("prepared"))
        await asyncio.wait_for(prepared.wait(), 30)
        for each in (made, other):
            assert await there.status("POST", "/api/v1/events", EMIT, key=each["key"]) == 200
        for each in (made, other):
            principal = await principal_of(there, each)
            there.dispatch.connections.opened(
                "stream", principal, lambda error, key_id=each["id"]: closed.update({key_id: error})
            ).__enter__()

        def change(tx: Tx) -> None:
            match how:
                case "role":
                    tx.run("DELETE FROM role_policies WHERE role_id = :role", {"role": role})
                case "key":
                    tx.run("UPDATE api_keys SET role_ids = 'role_viewer' WHERE id = :id", {"id": made["id"]})
                case _:
                    tx.run("UPDATE policies SET actions = 'events:read', version = version + 1")

        await here.db.write(change)
        if how == "missed":
            keys._keys_changed({""})  # pyright: ignore[reportPrivateUsage]
            assert await there.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 403
        await there.loop("api-keys")

        assert {key_id: type(error) for key_id, error in closed.items()} == {made["id"]: AccessChanged}
        assert await there.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 403
        await there.loop("api-keys")
        assert await there.status("POST", "/api/v1/events", EMIT, key=other["key"]) == 200


@pytest.mark.parametrize("notified", [False, True], ids=["without a notice", "with a missed one"])
async def test_a_key_whose_environment_moved_unnoticed_is_found_by_the_loop(guarded: Guarded, notified: bool):
    """Its connections would go on acting for the former organisation."""
    tenant = await guarded.request("POST", "/api/v1/tenants/provision", {"name": "acme"})
    environment = await guarded.an_environment("wandering")
    made = await guarded.a_key("role_developer", env="wandering")
    keys = guarded.part(Authenticator)
    closed: list[IronflowError] = []
    keys.connections.opened("stream", await principal_of(guarded, made), closed.append).__enter__()
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 200
    await guarded.loop("api-keys")
    assert closed == []

    move = "UPDATE environments SET project_id = :project WHERE id = :id"
    params = {"project": tenant["project_id"], "id": environment["id"]}
    await guarded.db.write(lambda tx: tx.run(move, params))
    if notified:
        keys._environments_changed({""})  # pyright: ignore[reportPrivateUsage]
    await guarded.loop("api-keys")

    assert [type(error) for error in closed] == [AccessChanged]
    await guarded.loop("api-keys")
    assert len(closed) == 1


async def test_a_loop_that_could_not_read_compares_the_next_time(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    """Notifications are missed while the database cannot be reached, and then the loop may not reach it either."""
    role = await a_role(guarded, {"effect": "allow", "actions": "*"})
    made = await guarded.a_key(role)
    keys = guarded.part(Authenticator)
    closed: list[IronflowError] = []
    keys.connections.opened("stream", await principal_of(guarded, made), closed.append).__enter__()
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 200
    await guarded.db.write(lambda tx: tx.run("UPDATE policies SET actions = 'events:read', version = version + 1"))
    keys._keys_changed({""})  # pyright: ignore[reportPrivateUsage]

    async def unreachable(_: object) -> None:
        raise Unavailable

    with monkeypatch.context() as broken:
        broken.setattr(guarded.db, "read", unreachable)
        with pytest.raises(Unavailable):
            await keys.look_again(guarded.clock.now())
    await guarded.loop("api-keys")

    assert [type(error) for error in closed] == [AccessChanged]


async def test_what_is_open_since_a_change_was_noticed_is_not_closed_by_the_loop(guarded: Guarded):
    role = await a_role(guarded, {"effect": "allow", "actions": "*"})
    made = await guarded.a_key(role)
    keys = guarded.part(Authenticator)
    before: list[IronflowError] = []
    after: list[IronflowError] = []
    with keys.connections.opened("stream", await principal_of(guarded, made), before.append):
        assert await guarded.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 200
        keys._keys_changed({""})  # pyright: ignore[reportPrivateUsage]
        await guarded.db.write(lambda tx: tx.run("UPDATE policies SET actions = 'emit:*', version = version + 1"))
        keys._access_changed({""})  # pyright: ignore[reportPrivateUsage]
    assert [type(error) for error in before] == [AccessChanged]

    keys.connections.opened("stream", await principal_of(guarded, made), after.append).__enter__()
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 200
    await guarded.loop("api-keys")
    assert after == []


async def test_a_stream_that_opens_after_a_change_with_earlier_access_is_closed_by_the_loop(guarded: Guarded):
    """Its request was authenticated before the change, and its message came after it."""
    role = await a_role(guarded, {"effect": "allow", "actions": "*"})
    made = await guarded.a_key(role)
    keys = guarded.part(Authenticator)
    earlier = await principal_of(guarded, made)
    await guarded.db.write(lambda tx: tx.run("UPDATE policies SET actions = 'emit:*', version = version + 1"))
    keys._access_changed({""})  # pyright: ignore[reportPrivateUsage]
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 200
    closed: list[IronflowError] = []
    keys.connections.opened("stream", earlier, closed.append).__enter__()
    await guarded.loop("api-keys")
    assert [type(error) for error in closed] == [AccessChanged]


async def test_access_that_changes_while_a_key_is_read_is_read_again(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    role = await a_role(guarded, {"effect": "allow", "actions": "*"})
    made = await guarded.a_key(role)
    keys, peek = guarded.part(Authenticator), guarded.db.peek

    async def overtaken(look: Any) -> Any:
        found = await peek(look)
        monkeypatch.undo()
        await guarded.db.write(lambda tx: tx.run("UPDATE policies SET actions = 'events:read', version = version + 1"))
        keys._access_changed({""})  # pyright: ignore[reportPrivateUsage]
        return found

    monkeypatch.setattr(guarded.db, "peek", overtaken)
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=made["key"]) == 403


async def principal_of(server: Guarded, made: dict[str, Any]) -> Principal:
    """As a request with this key has it."""
    return (await server.part(Authenticator)(Credentials(f"Bearer {made['key']}"))).principal


async def test_a_role_counts_the_keys_that_its_reader_sees(guarded: Guarded):
    await guarded.an_environment("staging")
    admin = await guarded.a_key("role_admin", env="staging")
    await guarded.a_key("role_viewer")
    await guarded.a_key("role_viewer", env="staging")
    for key, count in ((SEED, 2), (admin["key"], 1)):
        assert (await guarded.request("GET", "/api/v1/roles/role_viewer", key=key))["api_key_count"] == count
        listed = await guarded.request("GET", "/api/v1/roles", key=key)
        assert {each["id"]: each["api_key_count"] for each in listed}["role_viewer"] == count
