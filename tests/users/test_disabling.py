"""A disabled user: no session, no log-in, and the answer of a wrong password."""

import asyncio
from typing import Any

import pytest

from ironflow.base.call import Credentials
from ironflow.features.sessions.service import Sessions
from ironflow.features.users import rules
from ironflow.features.users.contract import LastAdministrator
from ironflow.features.users.rules import UserRow
from ironflow.features.users.service import Passwords
from tests.support.keys import SEED, Guarded, open_guarded
from tests.support.users import CSRF_HEADER, a_cookie, a_token, a_user, log_in


async def disable(guarded: Guarded, user: dict[str, Any], key: str = SEED, **fields: Any) -> int:
    return await guarded.status("POST", f"/api/v1/users/{user['id']}/disable", fields, key=key)


async def notes(guarded: Guarded, event_type: str) -> list[Any]:
    found = await guarded.request("GET", "/api/v1/audit?only=notes&limit=1000")
    return [each for each in found["events"] if each["event_type"] == event_type]


async def test_a_disabled_user_has_no_session_and_gets_none_until_enabled(guarded: Guarded):
    made, other = await a_user(guarded), await a_user(guarded, "bob@example.com")
    token, cookie = await a_token(guarded), await a_cookie(guarded)
    bob = await a_token(guarded, "bob@example.com")
    path = f"/api/v1/users/{made['id']}"
    assert (made["disabled"], "disabled_at" in made) == (False, False)

    guarded.move(1_000)
    disabled = await guarded.request("POST", f"{path}/disable", {"reason": "left the company"})

    assert (disabled["disabled"], disabled["disabled_reason"]) == (True, "left the company")
    assert disabled["disabled_at"] == disabled["updated_at"] > made["updated_at"]
    assert await guarded.request("GET", path) == disabled
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 401
    assert await guarded.status("GET", "/api/v1/runs", key=bob) == 200
    async with guarded.http() as client:
        assert (await client.get("/api/v1/runs", headers={"cookie": cookie, **CSRF_HEADER})).status_code == 401
        assert (await log_in(client)).status_code == 401
        # A new password does not enable.
        await guarded.request("PATCH", path, {"password": "another password"})
        assert (await log_in(client, password="another password")).status_code == 401

        enabled = await guarded.request("POST", f"{path}/enable")
        assert (enabled["disabled"], "disabled_at" in enabled, "disabled_reason" in enabled) == (False, False, False)
        assert await guarded.status("GET", "/api/v1/runs", key=token) == 401
        assert (await log_in(client, password="another password")).status_code == 200
    assert not (await guarded.request("GET", f"/api/v1/users/{other['id']}"))["disabled"]


async def test_the_right_password_of_a_disabled_user_is_answered_and_counted_as_a_wrong_one(guarded: Guarded):
    await disable(guarded, await a_user(guarded))
    await a_user(guarded, "bob@example.com")
    verified: list[str] = []
    passwords = guarded.part(Passwords)
    is_password = passwords.is_password

    async def counted(password_hash: str, password: str, caller: str = "") -> bool:
        verified.append(password_hash)
        return await is_password(password_hash, password, caller)

    passwords.is_password = counted
    async with guarded.http() as client:
        for _ in range(5):
            right = await log_in(client)
            wrong = await log_in(client, "bob@example.com", "wrong password")
            unknown = await log_in(client, "no@example.com")
            answers = [(each.status_code, each.content, sorted(each.headers)) for each in (right, wrong, unknown)]
            assert answers[0] == answers[1] == answers[2]
            assert right.status_code == 401
        assert (await log_in(client)).status_code == 429
    # Each took the time of one verification, of a real hash.
    assert len(verified) == 15
    assert all(verified[index].startswith("$argon2id$") for index in range(0, 15, 3))


async def test_a_log_in_that_is_verified_while_its_user_is_disabled_begins_no_session(guarded: Guarded):
    made = await a_user(guarded)
    passwords = guarded.part(Passwords)
    is_password = passwords.is_password

    async def disabled_meanwhile(password_hash: str, password: str, caller: str = "") -> bool:
        found = await is_password(password_hash, password, caller)
        assert await disable(guarded, made) == 200
        return found

    passwords.is_password = disabled_meanwhile
    async with guarded.http() as client:
        assert (await log_in(client)).status_code == 401
    assert await guarded.db.read(lambda tx: tx.row("SELECT count(*) FROM sessions")) == (0,)


async def test_disabling_and_enabling_are_noted_with_the_reason(guarded: Guarded):
    made = await a_user(guarded)
    await disable(guarded, made, reason="left")
    for _ in range(2):
        await guarded.request("POST", f"/api/v1/users/{made['id']}/enable")
    (disabled,) = await notes(guarded, "user.disabled")
    (enabled,) = await notes(guarded, "user.enabled")
    assert (disabled["payload"]["user_id"], disabled["payload"]["reason"]) == (made["id"], "left")
    assert enabled["payload"]["user_id"] == made["id"]


async def test_keys_that_the_user_created_stay_unless_they_are_revoked_too(guarded: Guarded):
    made = await a_user(guarded, "ada@example.com", "admin")
    own = (await guarded.a_key("role_viewer", by=await a_token(guarded)))["key"]
    other = (await guarded.a_key("role_viewer"))["key"]

    assert await disable(guarded, made) == 200
    assert await guarded.status("GET", "/api/v1/runs", key=own) == 200
    assert await disable(guarded, made, revoke_keys=True) == 200
    assert await guarded.status("GET", "/api/v1/runs", key=own) == 401
    assert await guarded.status("GET", "/api/v1/runs", key=other) == 200
    assert [len(each["payload"].get("revoked_keys", [])) for each in await notes(guarded, "user.disabled")] == [1, 0]


async def a_key_for(guarded: Guarded, actions: str) -> str:
    role = await guarded.request("POST", "/api/v1/roles", {"name": "people"})
    policy = {"name": "people", "effect": "allow", "actions": actions}
    made = await guarded.request("POST", "/api/v1/policies", policy)
    await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": made["id"]})
    return (await guarded.a_key(role["id"]))["key"]


async def test_disabling_and_revoking_need_their_scopes(guarded: Guarded):
    """A caller with the scope of users disables none who has more, and revokes keys with the scope of keys only."""
    key = await a_key_for(guarded, "users:*")
    admin = await a_user(guarded, "root@example.com", "admin")
    plain = await guarded.request("PATCH", f"/api/v1/users/{(await a_user(guarded))['id']}", {"roles": []})
    assert await disable(guarded, admin, key) == 403
    assert await guarded.status("POST", f"/api/v1/users/{admin['id']}/enable", key=key) == 403
    assert await disable(guarded, plain, key, revoke_keys=True) == 403
    assert await disable(guarded, plain, key) == 200
    for role in ("role_developer", "role_viewer"):
        assert await disable(guarded, plain, (await guarded.a_key(role))["key"]) == 403
    assert await guarded.status("POST", "/api/v1/users/user-none/disable") == 404
    assert await guarded.status("POST", "/api/v1/users/user-none/enable") == 404


async def test_the_last_administrator_stays(guarded: Guarded):
    """Without an administrator's key, one enabled administrator is left; with one, none has to be."""
    root = await a_user(guarded, "root@example.com", "admin")
    second = await a_user(guarded, "ada@example.com", "admin")
    token = await a_token(guarded, "root@example.com")
    await guarded.an_environment("other")
    # A key of one environment makes no other administrator.
    await guarded.a_key("role_admin", env="other")
    await guarded.a_key("role_admin", expires_in="1s")
    for key in await guarded.request("GET", "/api/v1/apikeys"):
        if not key.get("environment_id") and "expires_at" not in key:
            await guarded.request("DELETE", f"/api/v1/apikeys/{key['id']}", key=token)
    guarded.move(1_000)
    assert await disable(guarded, second, token) == 200

    assert await disable(guarded, root, token) == 400
    path = f"/api/v1/users/{root['id']}"
    assert await guarded.status("DELETE", path, key=token) == 400
    assert await guarded.status("PATCH", path, {"roles": ["viewer"]}, key=token) == 400
    assert await guarded.status("PATCH", path, {"name": "Root"}, key=token) == 200

    # Its only other way in is a key that would be revoked with it.
    key = (await guarded.a_key("role_admin", by=token))["key"]
    assert await disable(guarded, root, token, revoke_keys=True) == 400
    assert await guarded.status("GET", "/api/v1/users", key=key) == 200
    assert await disable(guarded, root, token) == 200


async def test_an_administrator_with_an_added_role_does_not_count(guarded: Guarded):
    """A policy of the added role may deny everything, to the other administrators that are left as well."""
    root = await a_user(guarded, "root@example.com", "admin")
    token = await a_token(guarded, "root@example.com")
    added = (await guarded.request("POST", "/api/v1/roles", {"name": "added"}))["id"]
    other = await a_user(guarded, "ada@example.com", "admin", added)
    await guarded.a_key("role_admin", added)
    for key in await guarded.request("GET", "/api/v1/apikeys"):
        if added not in key["role_ids"]:
            await guarded.request("DELETE", f"/api/v1/apikeys/{key['id']}", key=token)

    assert await disable(guarded, root, token) == 400
    path = f"/api/v1/users/{root['id']}"
    assert await guarded.status("DELETE", path, key=token) == 400
    assert await guarded.status("PATCH", path, {"roles": ["admin", added]}, key=token) == 400
    assert await disable(guarded, other, token) == 200
    await guarded.a_key("role_admin", "role_viewer", by=token)
    assert await guarded.status("PATCH", path, {"roles": ["admin", added]}, key=token) == 200


async def test_of_two_administrators_that_disable_each_other_at_once_one_stays(guarded: Guarded):
    made = [await a_user(guarded, f"{name}@example.com", "admin") for name in ("ada", "bob")]
    tokens = [await a_token(guarded, each["email"]) for each in made]
    for key in await guarded.request("GET", "/api/v1/apikeys"):
        await guarded.request("DELETE", f"/api/v1/apikeys/{key['id']}", key=tokens[0])

    answers = await asyncio.gather(
        disable(guarded, made[1], tokens[0]), disable(guarded, made[0], tokens[1]), return_exceptions=True
    )

    assert answers.count(200) == 1
    enabled = await guarded.db.read(lambda tx: tx.rows("SELECT id FROM users WHERE disabled_at = 0"))
    assert len(enabled) == 1


async def test_every_node_refuses_a_user_that_another_disabled(postgres_url: str):
    async with open_guarded(postgres_url) as here, open_guarded(postgres_url) as there:
        made = await a_user(here)
        token = await a_token(here)
        closed = asyncio.Event()
        sessions = there.part(Sessions)
        call = await sessions(Credentials(authorization=f"Bearer {token}"))
        sessions.connections.opened("websocket", call.principal, lambda _: closed.set()).__enter__()
        await disable(here, made)

        await asyncio.wait_for(closed.wait(), 30)
        assert await there.status("GET", "/api/v1/runs", key=token) == 401
        async with there.http() as client:
            assert (await log_in(client)).status_code == 401


ADA = UserRow("a", "o", "ada@example.com", "ada@example.com", "", "role_admin", "", 0, 0, "", 0, 0)


@pytest.mark.parametrize(
    "new",
    [
        None,
        ADA._replace(disabled_at=1),
        ADA._replace(role_ids="role_viewer"),
        ADA._replace(role_ids=""),
        ADA._replace(role_ids="role_admin,role_x"),
    ],
)
def test_an_administrator_without_another_stays(new: UserRow | None):
    with pytest.raises(LastAdministrator):
        rules.check_administrator_stays(ADA, new, others=False)
    rules.check_administrator_stays(ADA, new, others=True)
    for other in (ADA._replace(role_ids="role_viewer"), ADA._replace(disabled_at=1)):
        rules.check_administrator_stays(other, new, others=False)


def test_a_change_that_leaves_the_role_is_none():
    rules.check_administrator_stays(ADA, ADA._replace(name="Ada", role_ids="role_admin,role_viewer"), others=False)
