"""Users: what each operation answers, and what becomes of their sessions."""

import asyncio

import pytest

from ironflow.features.users import passwords
from ironflow.features.users.passwords import Passwords, TooManyLogIns
from ironflow.storage.port import Tx
from tests.support.keys import SEED, Guarded, open_guarded
from tests.support.users import PASSWORD, a_token, a_user, log_in


async def test_a_user_is_created_listed_updated_and_deleted(guarded: Guarded):
    made = await a_user(guarded, "Ada@example.com", "viewer")
    assert made["id"].startswith("user-")
    assert (made["email"], made["roles"], made["org_id"]) == ("Ada@example.com", ["role_viewer"], "org_default")
    path = f"/api/v1/users/{made['id']}"
    assert await guarded.request("GET", path) == made
    assert await guarded.request("GET", "/api/v1/users") == [made]

    guarded.move(1_000)
    changed = await guarded.request("PATCH", path, {"name": "Countess", "roles": ["role_developer"]})
    assert (changed["name"], changed["roles"], changed["email"]) == ("Countess", ["role_developer"], made["email"])
    assert changed["updated_at"] > made["updated_at"]

    await guarded.request("DELETE", path)
    assert await guarded.status("GET", path) == 404
    assert await guarded.request("GET", "/api/v1/users") == []


async def test_users_are_listed_in_pages(guarded: Guarded):
    made = [(await a_user(guarded, f"{name}@example.com"))["id"] for name in "abc"]
    first = await guarded.request("GET", "/api/v1/users?paged=true&limit=2")
    rest = await guarded.request("GET", f"/api/v1/users?paged=true&limit=2&cursor={first['next_cursor']}")
    assert [each["id"] for each in [*first["users"], *rest["users"]]] == made


async def test_an_address_is_one_user_however_it_is_written(guarded: Guarded):
    await a_user(guarded, "ada@example.com")
    other = await a_user(guarded, "bob@example.com")
    body = {"email": "ADA@example.com", "password": PASSWORD}
    assert await guarded.status("POST", "/api/v1/users", body) == 409
    assert await guarded.status("PATCH", f"/api/v1/users/{other['id']}", {"email": "Ada@Example.com"}) == 409


@pytest.mark.parametrize("change", [{"email": "ada"}, {"password": "short"}, {"roles": ["role_none"]}])
async def test_what_is_not_valid_is_refused(guarded: Guarded, change: dict[str, object]):
    body = {"email": "ada@example.com", "password": PASSWORD, **change}
    assert await guarded.status("POST", "/api/v1/users", body) in (400, 404)
    assert await guarded.request("GET", "/api/v1/users") == []


async def test_the_password_is_in_no_row_and_no_answer(guarded: Guarded):
    made = await a_user(guarded)
    assert PASSWORD not in str(made)
    assert "password_hash" not in made

    def rows(tx: Tx) -> list[object]:
        return [
            value for table in ("users", "audit_notes") for row in tx.rows(f"SELECT * FROM {table}") for value in row
        ]

    values = await guarded.db.read(rows)
    assert any(str(value).startswith("$argon2id$") for value in values)
    assert not any(PASSWORD in str(value) for value in values)


async def test_a_caller_gives_and_changes_no_more_than_it_has(guarded: Guarded):
    role = await guarded.request("POST", "/api/v1/roles", {"name": "people"})
    policy = {"name": "people", "effect": "allow", "actions": "users:*"}
    made = await guarded.request("POST", "/api/v1/policies", policy)
    await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": made["id"]})
    key = (await guarded.a_key(role["id"]))["key"]
    admin = await a_user(guarded, "root@example.com", "admin")

    body = {"email": "x@example.com", "password": PASSWORD, "roles": ["admin"]}
    assert await guarded.status("POST", "/api/v1/users", body, key=key) == 403
    for change in ({"roles": ["admin"]}, {"password": "another password"}, {"email": "mine@example.com"}):
        assert await guarded.status("PATCH", f"/api/v1/users/{admin['id']}", change, key=key) == 403
    assert await guarded.status("DELETE", f"/api/v1/users/{admin['id']}", key=key) == 403
    assert await guarded.status("DELETE", f"/api/v1/users/{admin['id']}/sessions", key=key) == 403


async def test_a_key_of_one_environment_sees_no_user(guarded: Guarded):
    await guarded.an_environment("other")
    key = (await guarded.a_key("role_admin", env="other"))["key"]
    made = await a_user(guarded)
    for method, path in (("GET", ""), ("GET", f"/{made['id']}"), ("DELETE", f"/{made['id']}")):
        assert await guarded.status(method, f"/api/v1/users{path}", key=key) == 403


async def test_a_user_changes_the_own_password_with_the_current_one_and_all_sessions_end(guarded: Guarded):
    made = await a_user(guarded)
    other = await a_user(guarded, "bob@example.com")
    token, second = await a_token(guarded), await a_token(guarded)
    new = "another good password"

    def change(current: str, new: str) -> dict[str, str]:
        return {"current_password": current, "new_password": new}

    path = f"/api/v1/users/{made['id']}/password"
    assert await guarded.status("PATCH", path, change("wrong password", new), key=token) == 401
    assert await guarded.status("PATCH", path, change(PASSWORD, "short"), key=token) == 400
    of_other = f"/api/v1/users/{other['id']}/password"
    assert await guarded.status("PATCH", of_other, change(PASSWORD, new), key=token) == 403
    assert await guarded.status("PATCH", path, change(PASSWORD, new), key=SEED) == 403
    assert await guarded.status("PATCH", path, change(PASSWORD, new), key=token) == 204

    assert await guarded.status("GET", "/api/v1/runs", key=token) == 401
    assert await guarded.status("GET", "/api/v1/runs", key=second) == 401
    async with guarded.http() as client:
        assert (await log_in(client)).status_code == 401
        assert (await log_in(client, password=new)).status_code == 200


async def test_the_first_user_is_made_once_with_the_password_of_the_settings(database_url: str):
    seeded = {"bootstrap_admin_password": PASSWORD, "bootstrap_admin_email": "root@example.com"}
    async with open_guarded(database_url, **seeded) as guarded:
        async with guarded.http() as client:
            token = (await log_in(client, "root@example.com")).json()["token"]
        (made,) = await guarded.request("GET", "/api/v1/users", key=token)
        assert made["roles"] == ["role_admin"]
        await guarded.request("DELETE", f"/api/v1/users/{made['id']}")
    async with open_guarded(database_url, **seeded) as again:
        assert await again.request("GET", "/api/v1/users") == []


async def test_one_caller_takes_no_more_than_its_share_of_the_passwords_that_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "WAITING_OF_ONE_MAX", 3)
    verifying = Passwords()
    flood = [asyncio.ensure_future(verifying.hashed(PASSWORD, "flood")) for _ in range(10)]
    other = await verifying.hashed(PASSWORD, "other")
    ended = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(each, TooManyLogIns) for each in ended) == 7
    assert await verifying.is_password(other, PASSWORD)
