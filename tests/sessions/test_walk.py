"""Every operation, socket and stream, with every kind of session: as the table of scopes has it."""

import httpx
import pytest

from ironflow.features.sessions.rules import COOKIE
from tests.api_keys.test_walk import ROLES, Way, handshake, held, over_http2, paths_of_sockets, refusable, ways
from tests.structure.scopes import roles_of
from tests.support.keys import Guarded
from tests.support.users import CSRF_HEADER, a_cookie, a_token, a_user

HOUR_MS = 3_600_000


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def unusable(guarded: Guarded) -> dict[str, dict[str, str]]:
    """Headers with sessions that count no more, and with what is none."""
    await a_user(guarded, "admin@example.com", "admin")
    expired = [await a_token(guarded, "admin@example.com"), await a_cookie(guarded, "admin@example.com")]
    guarded.move(12 * HOUR_MS)
    ended = [await a_token(guarded, "admin@example.com"), await a_cookie(guarded, "admin@example.com")]
    async with guarded.http() as client:
        await client.post("/api/v1/auth/logout", headers=bearer(ended[0]))
        await client.post("/api/v1/auth/logout", headers={"cookie": ended[1], **CSRF_HEADER})
    head, payload, signature = ended[0].split(".")
    return {
        "expired token": bearer(expired[0]),
        "expired cookie": {"cookie": expired[1], **CSRF_HEADER},
        "ended token": bearer(ended[0]),
        "ended cookie": {"cookie": ended[1], **CSRF_HEADER},
        "forged token": bearer(f"{head}.{payload}.{signature[::-1]}"),
        "no signature": bearer(f"{head}.{payload}."),
        "wrong cookie": {"cookie": f"{COOKIE}=ifses_{'0' * 64}", **CSRF_HEADER},
        "two cookies": {"cookie": f"{COOKIE}=x; {COOKIE}=y", **CSRF_HEADER},
        "empty cookie": {"cookie": f"{COOKIE}=", **CSRF_HEADER},
    }


async def ask(client: httpx.AsyncClient, way: Way, headers: dict[str, str]) -> str:
    answer = await client.request(way.method, way.path, content=way.content, headers={**way.headers, **headers})
    if way.streams and answer.status_code == 200:
        for code in ("unauthenticated", "permission_denied"):
            if f'"code":"{code}"' in answer.text.replace(" ", ""):
                return code
        return "allowed"
    return {401: "unauthenticated", 403: "permission_denied"}.get(answer.status_code, "allowed")


async def test_a_session_that_is_wrong_expired_or_ended_is_refused_by_every_operation(
    guarded: Guarded, unusable: dict[str, dict[str, str]]
):
    async with over_http2(guarded) as client:
        for operation in refusable():
            for way in ways(operation):
                for name, headers in unusable.items():
                    assert await ask(client, way, headers) == "unauthenticated", (operation.name, way, name)


async def test_no_operation_takes_the_cookie_from_another_page(guarded: Guarded):
    await a_user(guarded, "admin@example.com", "admin")
    cookie = await a_cookie(guarded, "admin@example.com")
    foreign = [{}, {"origin": "http://evil.example", **CSRF_HEADER}, {"sec-fetch-site": "same-site", **CSRF_HEADER}]
    async with over_http2(guarded) as client:
        for operation in refusable():
            for way in ways(operation):
                for headers in foreign:
                    assert await ask(client, way, {"cookie": cookie, **headers}) == "permission_denied", (way, headers)


@pytest.mark.parametrize("kind", ["token", "cookie"])
async def test_each_role_may_do_with_a_session_what_the_table_grants_and_nothing_else(guarded: Guarded, kind: str):
    sessions: dict[str, dict[str, str]] = {}
    for role in ROLES:
        await a_user(guarded, f"{role}@example.com", role)
        sessions[role] = (
            bearer(await a_token(guarded, f"{role}@example.com"))
            if kind == "token"
            else {"cookie": await a_cookie(guarded, f"{role}@example.com"), **CSRF_HEADER}
        )
    async with over_http2(guarded) as client:
        for operation in refusable():
            for way in ways(operation):
                for role, headers in sessions.items():
                    expected = "allowed" if role in roles_of(operation.scope) else "permission_denied"
                    # What is held back or changes something is not asked for.
                    if expected == "permission_denied" or (way.method == "GET" and not held(operation)):
                        assert await ask(client, way, headers) == expected, (operation.name, way, role)


async def test_every_socket_takes_a_session_from_the_own_page_only(
    guarded: Guarded, unusable: dict[str, dict[str, str]]
):
    cookie = await a_cookie(guarded, "admin@example.com")
    token = await a_token(guarded, "admin@example.com")
    own = [(b"cookie", cookie.encode()), (b"host", b"server"), (b"origin", b"http://server")]
    for path in paths_of_sockets():
        for name, headers in unusable.items():
            pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
            assert await handshake(guarded, path, "", pairs) == 401, (path, name)
        assert await handshake(guarded, path, "", own[:1]) == 403
        assert await handshake(guarded, path, "", [*own[:2], (b"origin", b"http://evil.example")]) == 403
    assert await handshake(guarded, "/ws", "", own) == 101
    assert await handshake(guarded, "/ws", f"token={token}", []) == 101
