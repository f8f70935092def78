"""Log-in and log-out, what a session opens, and how it ends."""

import asyncio
import base64
import json
from typing import Any

import pytest

from ironflow.base.call import Credentials
from ironflow.base.errors import IronflowError, Unauthenticated, Unavailable
from ironflow.features.api_keys.service import AccessChanged
from ironflow.features.sessions.rules import COOKIE
from ironflow.features.sessions.service import Sessions
from ironflow.storage.port import Tx
from tests.support.keys import SEED, Guarded, open_guarded
from tests.support.users import CSRF_HEADER, PASSWORD, a_cookie, a_token, a_user, client_from, log_in

HOUR_MS = 3_600_000


async def caller(guarded: Guarded, **headers: str) -> tuple[int, Any]:
    async with guarded.http() as client:
        answer = await client.get("/api/v1/auth/session", headers=headers)
        return answer.status_code, answer.json()


async def test_a_user_logs_in_and_the_jwt_is_accepted_where_a_key_is(guarded: Guarded):
    made = await a_user(guarded, "ada@example.com", "viewer")
    token = await a_token(guarded)

    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (claims["sub"], claims["email"], claims["roles"]) == (made["id"], "ada@example.com", ["role_viewer"])
    for headers in ({"authorization": f"Bearer {token}"}, {"x-ironflow-api-key": token}):
        status, session = await caller(guarded, **headers)
        assert (status, session["principal"], session["user"]["id"]) == (200, f"user:{made['id']}", made["id"])
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 200
    assert await guarded.status("POST", "/api/v1/events", {"name": "x", "data": {}}, key=token) == 403
    assert (await guarded.request("GET", f"/api/v1/users/{made['id']}"))["last_login_at"] is not None


async def test_a_key_learns_its_principal(guarded: Guarded):
    _, session = await caller(guarded, authorization=f"Bearer {SEED}")
    assert session["principal"].startswith("key:")
    assert "user" not in session


async def test_a_cookie_opens_what_the_own_page_asks_for(guarded: Guarded):
    await a_user(guarded)
    cookie = await a_cookie(guarded)

    assert (await caller(guarded, cookie=cookie, **CSRF_HEADER))[0] == 200
    assert (await caller(guarded, cookie=f"a=b; {cookie}", origin="http://server"))[0] == 200
    assert (await caller(guarded, cookie=cookie))[0] == 403
    assert (await caller(guarded, cookie=cookie, origin="http://evil.example", **CSRF_HEADER))[0] == 403
    async with guarded.http() as client:
        body = {"name": "x", "data": {}}
        forged = {"cookie": cookie, "origin": "http://evil.example", "content-type": "text/plain"}
        assert (await client.post("/api/v1/events", json=body, headers=forged)).status_code == 403
        rpc = await client.post("/ironflow.v1.IronflowService/Trigger", json={"event": "x"}, headers=forged)
        assert rpc.status_code == 403
    assert (await guarded.request("GET", "/api/v1/events"))["count"] == 0


async def test_a_key_in_a_header_goes_before_a_cookie(guarded: Guarded):
    await a_user(guarded, "ada@example.com", "viewer")
    cookie = await a_cookie(guarded)
    _, session = await caller(guarded, cookie=cookie, authorization=f"Bearer {SEED}")
    assert session["principal"].startswith("key:")
    assert (await caller(guarded, cookie=cookie, authorization="Bearer ifkey_wrong"))[0] == 401


async def test_another_page_cannot_log_its_visitor_in(guarded: Guarded):
    await a_user(guarded)
    async with guarded.http() as client:
        body = {"email": "ada@example.com", "password": PASSWORD, "cookie": True}
        forged = await client.post("/api/v1/auth/login", json=body, headers={"origin": "http://evil.example"})
    assert (forged.status_code, "set-cookie" in forged.headers) == (403, False)


@pytest.mark.parametrize("header", ["authorization", "cookie"])
async def test_a_session_is_a_new_one_whatever_the_browser_brought(guarded: Guarded, header: str):
    """Session fixation: what an attacker planted before the log-in opens nothing after it."""
    await a_user(guarded)
    for planted in ("ifses_" + "0" * 64, (await a_cookie(guarded)).partition("=")[2]):
        brought = {"cookie": f"{COOKIE}={planted}"} if header == "cookie" else {"authorization": f"Bearer {planted}"}
        async with guarded.http() as client:
            body = {"email": "ada@example.com", "password": PASSWORD, "cookie": True}
            answer = await client.post("/api/v1/auth/login", json=body, headers={**brought, **CSRF_HEADER})
        assert answer.cookies[COOKIE] != planted
        assert (await caller(guarded, cookie=f"{COOKIE}={answer.cookies[COOKIE]}", **CSRF_HEADER))[0] == 200
        if header == "cookie":
            assert (await caller(guarded, cookie=f"{COOKIE}={planted}", **CSRF_HEADER))[0] == 401


async def test_a_cookies_secret_is_no_bearer_token_and_a_jwt_is_no_cookie_without_a_page(guarded: Guarded):
    await a_user(guarded)
    secret = (await a_cookie(guarded)).partition("=")[2]
    assert await guarded.status("GET", "/api/v1/runs", key=secret) == 401


@pytest.mark.parametrize("email", ["ada@example.com", "unknown@example.com"])
async def test_a_wrong_password_and_an_unknown_user_are_answered_alike(guarded: Guarded, email: str):
    await a_user(guarded)
    async with guarded.http() as client:
        answer = await log_in(client, email, "wrong password")
    assert answer.status_code == 401
    assert answer.json()["message"] == "The e-mail address or the password is wrong."


async def test_wrong_passwords_are_delayed_from_their_address_only(guarded: Guarded):
    await a_user(guarded)
    attacker, owner = client_from(guarded, "10.0.0.66"), client_from(guarded, "10.0.0.1")
    async with attacker, owner:
        for _ in range(5):
            assert (await log_in(attacker, password="wrong password")).status_code == 401
        blocked = await log_in(attacker)
        assert (blocked.status_code, blocked.json()["reason"]) == (429, "LOG_IN_BLOCKED")
        assert int(blocked.headers["retry-after"]) == 1
        assert (await log_in(owner)).status_code == 200

        guarded.move(1_000)
        assert (await log_in(attacker, password="wrong password")).status_code == 401
        assert (await log_in(attacker)).status_code == 429
        guarded.move(2_000)
        # The right password ends the count.
        assert (await log_in(attacker)).status_code == 200
        assert (await log_in(attacker, password="wrong password")).status_code == 401
        assert (await log_in(attacker)).status_code == 200


async def test_attempts_at_once_all_count(guarded: Guarded):
    await a_user(guarded)
    async with guarded.http() as client:
        answers = await asyncio.gather(*(log_in(client, password=f"wrong {n}") for n in range(8)))
    assert sorted(each.status_code for each in answers).count(401) == 5


async def test_a_log_out_ends_the_session_and_forgets_the_cookie(guarded: Guarded):
    await a_user(guarded)
    cookie, other = await a_cookie(guarded), await a_cookie(guarded)
    async with guarded.http() as client:
        refused = await client.post("/api/v1/auth/logout", headers={"cookie": cookie, "origin": "http://evil.example"})
        assert refused.status_code == 403
        answer = await client.post("/api/v1/auth/logout", headers={"cookie": cookie, **CSRF_HEADER})
    assert answer.json() == {"ended": True}
    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=; Path=/; Max-Age=0")
    assert (await caller(guarded, cookie=cookie, **CSRF_HEADER))[0] == 401
    assert (await caller(guarded, cookie=other, **CSRF_HEADER))[0] == 200


async def test_a_log_out_everywhere_ends_every_session_of_the_user_and_of_no_other(guarded: Guarded):
    await a_user(guarded)
    await a_user(guarded, "bob@example.com")
    cookie, token, bob = await a_cookie(guarded), await a_token(guarded), await a_token(guarded, "bob@example.com")
    async with guarded.http() as client:
        headers = {"authorization": f"Bearer {token}"}
        assert (await client.post("/api/v1/auth/logout", json={"everywhere": True}, headers=headers)).is_success
    assert (await caller(guarded, cookie=cookie, **CSRF_HEADER))[0] == 401
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 401
    assert await guarded.status("GET", "/api/v1/runs", key=bob) == 200


async def test_an_administrator_ends_the_sessions_of_a_user(guarded: Guarded):
    made = await a_user(guarded)
    token = await a_token(guarded)
    await guarded.request("DELETE", f"/api/v1/users/{made['id']}/sessions")
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 401


async def test_a_session_expires(guarded: Guarded):
    await a_user(guarded)
    token = await a_token(guarded)
    guarded.move(12 * HOUR_MS - 1)
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 200
    guarded.move(1)
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 401
    await guarded.loop("sessions-forget")
    assert await guarded.db.read(lambda tx: tx.row("SELECT count(*) FROM sessions")) == (0,)


@pytest.mark.parametrize("how", ["forged", "none", "changed", "other"])
async def test_a_jwt_that_this_server_did_not_sign_is_refused(guarded: Guarded, how: str):
    from joserfc import jwt
    from joserfc.jwk import OctKey

    await a_user(guarded)
    token = await a_token(guarded)
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    forged = {
        "forged": jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("0" * 64)),
        "none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "changed": f"{head}.{part({**claims, 'roles': ['role_admin'], 'exp': claims['exp'] + 1})}.{signature}",
        "other": jwt.encode({"alg": "HS512"}, claims, OctKey.import_key("0" * 64), ["HS512"]),
    }[how]
    assert await guarded.status("GET", "/api/v1/runs", key=forged) == 401


async def test_the_key_that_signs_opens_nothing_by_itself(guarded: Guarded):
    """Who reads the database can sign, but knows no session's secret."""
    from joserfc import jwt
    from joserfc.jwk import OctKey

    made = await a_user(guarded, "root@example.com", "admin")
    await a_token(guarded, "root@example.com")

    def stolen(tx: Tx) -> tuple[str, str]:
        key, session = tx.row("SELECT secret FROM session_keys"), tx.row("SELECT secret_hash FROM sessions")
        assert key
        assert session
        return key[0], session[0]

    key, secret_hash = await guarded.db.read(stolen)
    claims = {"iss": "ironflow", "sub": made["id"], "jti": secret_hash, "exp": guarded.now // 1000 + 1_000}
    forged = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(key))
    assert await guarded.status("GET", "/api/v1/runs", key=forged) == 401


@pytest.mark.parametrize(
    "end", ["log_out", "everywhere", "admin", "disable", "delete", "password", "roles", "expiry", "own role changed"]
)
async def test_what_is_open_with_a_session_is_closed_when_it_ends(guarded: Guarded, end: str):
    role = await guarded.request("POST", "/api/v1/roles", {"name": "own"})
    roles = [role["id"]] if end == "own role changed" else []
    made = await a_user(guarded, "ada@example.com", *roles)
    path = f"/api/v1/users/{made['id']}"
    await a_user(guarded, "bob@example.com")
    tokens = [await a_token(guarded), await a_token(guarded), await a_token(guarded, "bob@example.com")]
    closed: dict[int, IronflowError] = {}
    sessions = guarded.part(Sessions)
    for index, token in enumerate(tokens):
        call = await sessions(Credentials(authorization=f"Bearer {token}"))
        sessions.connections.opened(
            "websocket", call.principal, lambda error, index=index: closed.update({index: error})
        ).__enter__()

    async with guarded.client(tokens[0]) as client:
        match end:
            case "log_out":
                await client.post("/api/v1/auth/logout")
            case "everywhere":
                await client.post("/api/v1/auth/logout", json={"everywhere": True})
            case "admin":
                await guarded.request("DELETE", f"{path}/sessions")
            case "disable":
                await guarded.request("POST", f"{path}/disable")
            case "delete":
                await guarded.request("DELETE", path)
            case "password":
                await guarded.request("PATCH", path, {"password": "another password"})
            case "roles":
                await guarded.request("PATCH", path, {"roles": ["viewer"]})
            case "own role changed":
                await guarded.request("POST", "/api/v1/policies", {"name": "p", "effect": "allow", "actions": "*"})
                (policy,) = await guarded.request("GET", "/api/v1/policies")
                await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": policy["id"]})
            case _:  # expiry
                guarded.move(12 * HOUR_MS)
    if end == "expiry":
        await guarded.loop("sessions")
    else:
        await guarded.db.write(lambda tx: None)

    assert sorted(closed) == {"log_out": [0], "expiry": [0, 1, 2]}.get(end, [0, 1])
    refused = isinstance(closed[0], Unauthenticated)
    assert refused is (end not in ("roles", "own role changed"))


async def test_every_node_closes_what_is_open_with_a_session_that_ended(postgres_url: str):
    async with open_guarded(postgres_url) as here, open_guarded(postgres_url) as there:
        await a_user(here)
        token = await a_token(here)
        assert await there.status("GET", "/api/v1/runs", key=token) == 200
        closed = asyncio.Event()
        sessions = there.part(Sessions)
        (known,) = sessions._known.values()  # pyright: ignore[reportPrivateUsage]
        sessions.connections.opened("websocket", known.principal, lambda _: closed.set()).__enter__()
        async with here.client(token) as client:
            await client.post("/api/v1/auth/logout")
        await asyncio.wait_for(closed.wait(), 10)
        assert await there.status("GET", "/api/v1/runs", key=token) == 401


async def test_a_lost_notification_ends_a_session_at_the_next_round(guarded: Guarded):
    await a_user(guarded)
    token = await a_token(guarded)
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 200

    def lose(tx: Tx) -> None:
        tx.run("DELETE FROM sessions")

    await guarded.db.write(lose)
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 200
    await guarded.loop("sessions")
    assert await guarded.status("GET", "/api/v1/runs", key=token) == 401


@pytest.mark.parametrize("how", ["policy", "user", "missed"])
async def test_a_lost_notification_of_other_access_closes_what_is_open_at_the_next_round(guarded: Guarded, how: str):
    role = await guarded.request("POST", "/api/v1/roles", {"name": "own"})
    policy = await guarded.request("POST", "/api/v1/policies", {"name": "p", "effect": "allow", "actions": "*"})
    await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": policy["id"]})
    await a_user(guarded, "ada@example.com", role["id"])
    sessions = guarded.part(Sessions)
    call = await sessions(Credentials(authorization=f"Bearer {await a_token(guarded)}"))
    closed: list[IronflowError] = []
    sessions.connections.opened("websocket", call.principal, closed.append).__enter__()

    def change(tx: Tx) -> None:
        if how == "user":
            tx.run("UPDATE users SET role_ids = 'role_viewer'")
        else:
            tx.run("UPDATE policies SET actions = 'events:read', version = version + 1")

    await guarded.loop("sessions")
    assert closed == []
    await guarded.db.write(change)
    if how == "missed":
        sessions._ended({""})  # pyright: ignore[reportPrivateUsage]
    await guarded.loop("sessions")
    assert [type(error) for error in closed] == [AccessChanged]


async def test_access_that_changes_while_a_session_is_read_is_read_again(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
):
    await a_user(guarded, "ada@example.com", "role_developer")
    token = await a_token(guarded)
    sessions, peek = guarded.part(Sessions), guarded.db.peek

    async def overtaken(look: Any) -> Any:
        found = await peek(look)
        monkeypatch.undo()
        await guarded.db.write(lambda tx: tx.run("UPDATE users SET role_ids = 'role_viewer'"))
        sessions._users_changed({""})  # pyright: ignore[reportPrivateUsage]
        return found

    sessions._known.clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(guarded.db, "peek", overtaken)
    call = await sessions(Credentials(authorization=f"Bearer {token}"))
    assert call.principal.access is not None
    assert call.principal.access.roles == ("role_viewer",)


async def test_a_session_is_compared_when_the_loop_can_read_again(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    await a_user(guarded, "ada@example.com", "role_developer")
    sessions = guarded.part(Sessions)
    call = await sessions(Credentials(authorization=f"Bearer {await a_token(guarded)}"))
    closed: list[IronflowError] = []
    sessions.connections.opened("websocket", call.principal, closed.append).__enter__()
    await guarded.db.write(lambda tx: tx.run("UPDATE users SET role_ids = 'role_viewer'"))
    sessions._ended({""})  # pyright: ignore[reportPrivateUsage]

    async def unreachable(_: object) -> None:
        raise Unavailable

    with monkeypatch.context() as broken:
        broken.setattr(guarded.db, "read", unreachable)
        with pytest.raises(Unavailable):
            await sessions.look_again(guarded.clock.now())
    await guarded.loop("sessions")

    assert [type(error) for error in closed] == [AccessChanged]


async def test_a_user_has_so_many_sessions_and_the_oldest_ends(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ironflow.features.sessions.rules.SESSIONS_OF_USER_MAX", 2)
    await a_user(guarded)
    tokens = [await a_token(guarded) for _ in range(3)]
    assert [await guarded.status("GET", "/api/v1/runs", key=each) for each in tokens] == [401, 200, 200]


async def test_a_change_for_many_sessions_looks_through_them_once(guarded: Guarded):
    role = await guarded.request("POST", "/api/v1/roles", {"name": "own"})
    made = await a_user(guarded, "ada@example.com", role["id"])
    tokens = [await a_token(guarded) for _ in range(5)]
    for token in tokens:
        assert await guarded.status("GET", "/api/v1/runs", key=token) == 403
    sessions = guarded.part(Sessions)
    passes = 0

    class Counted(dict[str, Any]):
        def items(self) -> Any:
            nonlocal passes
            passes += 1
            return super().items()

    sessions._known = Counted(sessions._known)  # pyright: ignore[reportPrivateUsage]
    await guarded.request("DELETE", f"/api/v1/users/{made['id']}/sessions")
    assert passes <= 1
    for token in tokens:
        assert await guarded.status("GET", "/api/v1/runs", key=token) == 401
