"""Log-in by OpenID Connect, against a small provider."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey

from ironflow.features.oidc.provider import ASK_AGAIN_MS
from ironflow.features.oidc.service import Provider
from ironflow.features.sessions.rules import COOKIE
from tests.support.keys import Guarded, open_guarded
from tests.support.users import CSRF_HEADER, a_user

ISSUER = "https://login.example.com/realms/a"
CLIENT = "ironflow"


class SmallProvider:
    """Answers each code with an ID token of one user. claims: that differ from the right ones."""

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.signs_with = self.key
        self.claims: dict[str, Any] = {}
        self.asked: dict[str, str] = {}
        self.exchanged: dict[str, str] = {}
        self.client: tuple[str, str] | None = None
        self.is_down = False
        self.asked_while_down = self.reads = 0

    async def fetch(self, url: str, form: Mapping[str, str] | None, client: tuple[str, str] | None) -> tuple[int, Any]:
        if self.is_down:
            self.asked_while_down += 1
            # Other log-ins come meanwhile.
            await asyncio.sleep(0)
            raise OSError("down")
        match url.removeprefix(ISSUER):
            case "/.well-known/openid-configuration":
                places = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
                return 200, {"issuer": ISSUER, **{name: f"{ISSUER}/{path}" for name, path in places.items()}}
            case "/keys":
                self.reads += 1
                return 200, {"keys": [self.key.as_dict(private=False)]}
            case _:
                self.exchanged, self.client = dict(form or {}), client
                now = self._guarded.now // 1000
                right = {"iss": ISSUER, "aud": CLIENT, "sub": "u1", "iat": now, "exp": now + 60}
                person = {"email": "ada@example.com", "email_verified": True, "nonce": self.asked["nonce"]}
                signed = jwt.encode(
                    {"alg": "RS256", "kid": self.signs_with.kid}, {**right, **person, **self.claims}, self.signs_with
                )
                return 200, {"access_token": "x", "token_type": "Bearer", "id_token": signed}


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    settings = {"oidc_issuer": ISSUER, "oidc_client_id": CLIENT, "oidc_client_secret": "s3cret-of-the-client"}
    async with open_guarded(database_url, **settings) as opened:
        yield opened


@pytest.fixture
def provider(guarded: Guarded) -> SmallProvider:
    small = SmallProvider(guarded)
    guarded.part(Provider).fetch = small.fetch
    return small


async def begin(client: httpx.AsyncClient, provider: SmallProvider) -> None:
    answer = await client.get("/api/v1/auth/oidc/login")
    assert answer.status_code == 302, answer.text
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == f"{ISSUER}/auth"
    provider.asked = {name: values[0] for name, values in parse_qs(location.query).items()}


async def end(client: httpx.AsyncClient, provider: SmallProvider, **changed: str) -> httpx.Response:
    query = {"code": "c0de", "state": provider.asked["state"], **changed}
    return await client.get("/api/v1/auth/oidc/callback", params=query)


async def test_a_user_that_the_provider_confirms_gets_a_session(guarded: Guarded, provider: SmallProvider):
    made = await a_user(guarded)
    async with guarded.http() as client:
        await begin(client, provider)
        assert provider.asked["code_challenge_method"] == "S256"
        assert provider.asked["redirect_uri"] == "http://server/api/v1/auth/oidc/callback"
        answer = await end(client, provider)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
        session = await client.get("/api/v1/auth/session", headers=CSRF_HEADER)
    assert session.json()["user"]["id"] == made["id"]
    assert provider.exchanged["code"] == "c0de"
    assert create_s256_code_challenge(provider.exchanged["code_verifier"]) == provider.asked["code_challenge"]
    assert provider.client == (CLIENT, "s3cret-of-the-client")


async def test_a_disabled_user_gets_no_session_from_the_provider(guarded: Guarded, provider: SmallProvider):
    made = await a_user(guarded)
    await guarded.request("POST", f"/api/v1/users/{made['id']}/disable")
    async with guarded.http() as client:
        await begin(client, provider)
        answer = await end(client, provider)
        assert (answer.status_code, COOKIE in answer.cookies) == (401, False)
        assert "disabled" in answer.text


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"nonce": "another"},
        {"exp": 1},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": None},
    ],
    ids=json.dumps,
)
async def test_an_id_token_that_is_not_right_begins_no_session(
    guarded: Guarded, provider: SmallProvider, claims: dict[str, Any]
):
    await a_user(guarded)
    provider.claims = claims
    async with guarded.http() as client:
        await begin(client, provider)
        answer = await end(client, provider)
        assert (answer.status_code, answer.json()["reason"]) == (401, "OIDC_REFUSED")
        assert COOKIE not in client.cookies


async def test_an_id_token_of_another_key_begins_no_session_and_a_new_key_is_read(
    guarded: Guarded, provider: SmallProvider
):
    await a_user(guarded)
    async with guarded.http() as client:
        await begin(client, provider)
        provider.signs_with = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
        assert (await end(client, provider)).status_code == 401
        provider.key = provider.signs_with
        assert (await end(client, provider)).status_code == 302


async def test_a_log_in_that_this_browser_did_not_begin_is_refused(guarded: Guarded, provider: SmallProvider):
    await a_user(guarded)
    async with guarded.http() as client, guarded.http() as other:
        await begin(client, provider)
        assert (await end(other, provider)).status_code == 401
        assert (await end(client, provider, state="x")).status_code == 401
        assert (await end(client, provider, code="", error="access_denied")).status_code == 401
        guarded.move(600_000)
        assert (await end(client, provider)).status_code == 401
    assert provider.exchanged == {}


async def test_an_unknown_user_is_refused(guarded: Guarded, provider: SmallProvider):
    async with guarded.http() as client:
        await begin(client, provider)
        assert (await end(client, provider)).json()["reason"] == "OIDC_UNKNOWN_USER"
    assert await guarded.request("GET", "/api/v1/users") == []


async def test_with_a_role_new_users_are_made_without_a_password(database_url: str):
    settings = {"oidc_issuer": ISSUER, "oidc_client_id": CLIENT, "oidc_new_user_role": "viewer"}
    async with open_guarded(database_url, **settings) as guarded:
        provider = SmallProvider(guarded)
        guarded.part(Provider).fetch = provider.fetch
        async with guarded.http() as client:
            await begin(client, provider)
            assert (await end(client, provider)).status_code == 302
            body = {"email": "ada@example.com", "password": ""}
            assert (await client.post("/api/v1/auth/login", json=body)).status_code == 401
        (made,) = await guarded.request("GET", "/api/v1/users")
        assert made["roles"] == ["role_viewer"]


async def test_a_provider_that_does_not_answer_is_unavailable(guarded: Guarded, provider: SmallProvider):
    provider.is_down = True
    log_ins = [guarded.status("GET", "/api/v1/auth/oidc/login", key="") for _ in range(20)]
    assert await asyncio.gather(*log_ins) == [503] * 20
    assert provider.asked_while_down == 1

    provider.is_down = False
    guarded.move(ASK_AGAIN_MS)
    log_ins = [guarded.status("GET", "/api/v1/auth/oidc/login", key="") for _ in range(20)]
    assert await asyncio.gather(*log_ins) == [302] * 20
    assert provider.reads == 1


async def test_without_the_setting_there_is_no_provider(database_url: str):
    async with open_guarded(database_url) as guarded:
        assert await guarded.status("GET", "/api/v1/auth/oidc/login", key="") == 400
