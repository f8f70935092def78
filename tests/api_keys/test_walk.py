"""Every operation, on every wire that it has, with every kind of key: as the table of scopes has it."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest

from ironflow.base.operation import Operation
from ironflow.base.socket import SocketRoute
from ironflow.features.events import contract as events
from ironflow.storage.port import Tx
from tests.environments.parties import a_party, columns_of, fill
from tests.structure.contracts import all_operations, all_sockets
from tests.structure.scopes import roles_of
from tests.support.keys import SEED, Guarded, open_guarded

ROLES = ("admin", "developer", "viewer")
UNUSABLE = ("", "ifkey_wrong", "expired", "revoked")
FRAMES = "application/connect+json"


class Way(NamedTuple):
    """One way to ask for an operation. streams: its errors are in the last frame, with status 200."""

    method: str
    path: str
    headers: dict[str, str]
    streams: bool = False

    @property
    def content(self) -> bytes:
        return b"\x00\x00\x00\x00\x02{}" if self.streams else b"" if self.method == "GET" else b"{}"


def ways(operation: Operation[Any, Any]) -> list[Way]:
    found = [Way(route.method, filled(route.path), {}) for route in operation.rest]
    for name in operation.rpc:
        if operation.streaming == "unary":
            found.append(Way("POST", f"/ironflow.v1.{name}", {"content-type": "application/json"}))
        else:
            # Of a stream in both directions, one frame: it is refused before a frame is read.
            found.append(Way("POST", f"/ironflow.v1.{name}", {"content-type": FRAMES}, streams=True))
    return found


def filled(path: str) -> str:
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


def over_http2(guarded: Guarded) -> httpx.AsyncClient:
    """An HTTP client whose requests come by HTTP/2, as streams in both directions have to."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await guarded.inside.app({**scope, "http_version": "2"}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url, master_key="11" * 32) as opened:
        yield opened


@pytest.fixture
async def keys(guarded: Guarded) -> dict[str, str]:
    """A key of each kind by its name."""
    await guarded.an_environment("other")
    made = {role: (await guarded.a_key(f"role_{role}"))["key"] for role in ROLES}
    made["none"] = (await guarded.a_key())["key"]
    made["expired"] = (await guarded.a_key("role_admin", expires_in="1s"))["key"]
    revoked = await guarded.a_key("role_admin")
    await guarded.request("DELETE", f"/api/v1/apikeys/{revoked['id']}")
    guarded.move(1_000)
    return {**made, "revoked": revoked["key"], "other": (await guarded.a_key("role_admin", env="other"))["key"]}


async def ask(client: httpx.AsyncClient, way: Way, key: str, env: str = "") -> str:
    """`unauthenticated`, `permission_denied`, or `allowed` for whatever else is answered."""
    headers = {**way.headers, **({"authorization": f"Bearer {key}"} if key else {})}
    if env:
        headers["x-ironflow-environment"] = env
    answer = await client.request(way.method, way.path, content=way.content, headers=headers)
    if way.streams and answer.status_code == 200:
        for code in ("unauthenticated", "permission_denied"):
            if f'"code":"{code}"' in answer.text.replace(" ", ""):
                return code
        return "allowed"
    return {401: "unauthenticated", 403: "permission_denied"}.get(answer.status_code, "allowed")


def refusable() -> list[Operation[Any, Any]]:
    return [operation for operation in all_operations() if operation.scope != "public"]


async def test_a_key_that_is_missing_wrong_expired_or_revoked_is_refused_by_every_operation(
    guarded: Guarded, keys: dict[str, str]
):
    reached = 0
    async with over_http2(guarded) as client:
        for operation in refusable():
            for way in ways(operation):
                for name in UNUSABLE:
                    found = await ask(client, way, keys.get(name, name))
                    assert found == "unauthenticated", (operation.name, way, name)
                    reached += 1
    assert reached > 500


async def test_public_operations_need_no_key_and_ignore_a_wrong_one(guarded: Guarded):
    async with over_http2(guarded) as client:
        for operation in all_operations():
            for way in ways(operation) if operation.scope == "public" else []:
                assert [await ask(client, way, key) for key in ("", "ifkey_wrong")] == ["allowed", "allowed"]


async def test_another_environment_is_refused_by_every_operation(guarded: Guarded, keys: dict[str, str]):
    await guarded.an_environment("mine")
    async with over_http2(guarded) as client:
        for operation in refusable():
            for way in ways(operation):
                for env in ("mine", "no-such"):
                    found = await ask(client, way, keys["other"], env)
                    assert found == "permission_denied", (operation.name, way, env)


async def test_each_role_may_do_what_the_table_grants_and_nothing_else(guarded: Guarded, keys: dict[str, str]):
    """A scope that a role lacks is refused before the body is read; what it has is not refused."""
    async with over_http2(guarded) as client:
        for operation in refusable():
            for way in ways(operation):
                for role in ("none", *ROLES):
                    expected = "allowed" if role in roles_of(operation.scope) else "permission_denied"
                    # What is held back or changes something is not asked for.
                    if expected == "permission_denied" or (way.method == "GET" and not held(operation)):
                        assert await ask(client, way, keys[role]) == expected, (operation.name, way, role)


def held(operation: Operation[Any, Any]) -> bool:
    return operation.holds or operation.streaming != "unary" or "wait" in operation.name


# What refusals may change: their notes, and when a key was used last.
OF_REFUSALS = {"audit_notes", "audit_heads", "audit_refusals", "login_failures"}


async def every_row(guarded: Guarded) -> dict[str, str]:
    """Every row of every table but those of refusals."""

    def look(tx: Tx) -> dict[str, str]:
        tables = columns_of(tx, is_postgres=guarded.db.name == "postgres").keys() - OF_REFUSALS
        return {table: repr(sorted(map(repr, tx.rows(f"SELECT * FROM {table}")))) for table in tables}

    return await guarded.db.read(look)


async def test_refusals_change_no_row(guarded: Guarded, keys: dict[str, str]):
    """Every operation on every wire, with every key that is refused there: without a role, of another environment, and
    those that open nothing."""
    other = await a_party(guarded, "victim-env")
    await fill(other)
    await guarded.loops()
    before = await every_row(guarded)
    assert sum(map(len, before.values())) > 10_000
    refused = 0
    async with over_http2(guarded) as client:
        for operation in refusable():
            for way in ways(operation):
                allowed = roles_of(operation.scope)
                for name in ("none", *ROLES, *UNUSABLE):
                    if name not in allowed:
                        assert await ask(client, way, keys.get(name, name)) != "allowed", (operation.name, way, name)
                        refused += 1
                assert await ask(client, way, keys["other"], "victim-env") == "permission_denied", (operation.name, way)
    after = await every_row(guarded)
    assert {table for table, rows in after.items() if rows != before[table]} == set()
    assert refused > 1_500


def paths_of_sockets() -> list[str]:
    streams = [
        route.path
        for operation in all_operations()
        if operation.streaming == "server"
        for route in operation.rest
        if route.method == "GET"
    ]
    return [filled(path) for path in [*(each.path for each in all_sockets()), *streams]]


async def handshake(guarded: Guarded, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> int:
    """The status that a WebSocket's handshake is refused with; 101 when it is accepted."""
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> dict[str, Any]:
        return next(received)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
        "client": None,
        "extensions": {"websocket.http.response": {}},
    }
    await guarded.inside.app(scope, receive, send)  # pyright: ignore[reportArgumentType]
    return 101 if sent[0]["type"] == "websocket.accept" else sent[0].get("status", 403)


@pytest.mark.parametrize("path", paths_of_sockets())
async def test_every_socket_refuses_its_handshake_without_a_key(guarded: Guarded, keys: dict[str, str], path: str):
    assert await handshake(guarded, path, "", []) == 401
    for name in ("wrong", "expired", "revoked"):
        assert await handshake(guarded, path, f"token={keys.get(name, 'ifkey_wrong')}", []) == 401
        header = (b"authorization", f"Bearer {keys.get(name, 'ifkey_wrong')}".encode())
        assert await handshake(guarded, path, "", [header]) == 401
    assert await handshake(guarded, path, f"token={keys['none']}", []) == 403
    assert await handshake(guarded, path, f"token={keys['other']}&env=no-such", []) == 403


async def test_a_socket_is_accepted_with_the_key_in_its_query_or_headers(guarded: Guarded):
    assert await handshake(guarded, "/ws", f"token={SEED}", []) == 101
    assert await handshake(guarded, "/ws", "", [(b"authorization", f"Bearer {SEED}".encode())]) == 101


async def test_an_operation_as_which_a_request_acts_needs_its_scope_too(guarded: Guarded):
    """A viewer may query, but a role of one's own that has no more than sql:query may not read events with it."""
    role = await guarded.request("POST", "/api/v1/roles", {"name": "sql"})
    policy = await guarded.request(
        "POST", "/api/v1/policies", {"name": "sql", "effect": "allow", "actions": "sql:query"}
    )
    await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": policy["id"]})
    key = (await guarded.a_key(role["id"]))["key"]
    query = {"query": "SELECT count(*) AS n FROM events"}
    assert await guarded.status("POST", "/api/v1/sql", query) == 200
    assert await guarded.status("POST", "/api/v1/sql", query, key=key) == 403
    assert events.list_.scope == "events:read"


def test_every_socket_is_walked():
    assert all(isinstance(each, SocketRoute) for each in all_sockets())
