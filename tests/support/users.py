"""Users who log in on a server that demands credentials."""

from typing import Any

import httpx

from ironflow.features.sessions.rules import COOKIE
from tests.support.keys import SEED, Guarded

PASSWORD = "correct horse battery"
CSRF_HEADER = {"x-ironflow-csrf": "1"}


def client_from(guarded: Guarded, address: str) -> httpx.AsyncClient:
    """An HTTP client with that address."""
    transport = httpx.ASGITransport(guarded.inside.app, client=(address, 1))  # pyright: ignore[reportArgumentType]
    return httpx.AsyncClient(transport=transport, base_url="http://server")


async def a_user(guarded: Guarded, email: str = "ada@example.com", *roles: str, by: str = SEED) -> dict[str, Any]:
    body = {"email": email, "password": PASSWORD, "name": "Ada", **({"roles": [*roles]} if roles else {})}
    return await guarded.request("POST", "/api/v1/users", body, key=by)


async def log_in(
    client: httpx.AsyncClient, email: str = "ada@example.com", password: str = PASSWORD, **fields: Any
) -> httpx.Response:
    headers = CSRF_HEADER if fields.get("cookie") else {}
    body = {"email": email, "password": password, **fields}
    return await client.post("/api/v1/auth/login", json=body, headers=headers)


async def a_token(guarded: Guarded, email: str = "ada@example.com") -> str:
    """The JWT of a new session."""
    async with guarded.http() as client:
        answer = await log_in(client, email)
    assert answer.status_code == 200, answer.text
    return answer.json()["token"]


async def a_cookie(guarded: Guarded, email: str = "ada@example.com") -> str:
    """The Cookie header of a new session."""
    async with guarded.http() as client:
        answer = await log_in(client, email, cookie=True)
    assert answer.status_code == 200, answer.text
    assert answer.json().get("token") is None
    return f"{COOKIE}={answer.cookies[COOKIE]}"
