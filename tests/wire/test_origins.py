"""Which names a server is called by, and which web pages may use it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from ironflow.base.errors import IronflowError
from ironflow.transports.origins import HostNotAllowed, OriginNotAllowed, Origins
from ironflow.transports.peers import Link
from tests.support.server import open_server
from tests.support.work import Work
from tests.wire.server_process import a_server

EVIL = "http://evil.example"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
LINK = Link(("192.0.2.7", 40_000), ("192.0.2.1", 9123))


def refusal(origins: Origins, **headers: str) -> type[IronflowError] | None:
    try:
        origins.check(headers, LINK)
    except IronflowError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost", True),
        ("localhost:9123", True),
        ("app.localhost:9123", True),
        ("127.0.0.1:9123", True),
        ("127.1.2.3", True),
        ("[::1]:9123", True),
        ("192.0.2.1:9123", True),
        ("shop.example:80", True),
        ("SHOP.example", True),
        ("192.0.2.2:9123", False),
        ("evil.example", False),
        ("evil.example:9123", False),
        ("localhost.evil.example", False),
        ("evil.example, localhost", False),
        ("localhost@evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_server_without_authentication_is_called_by_loopback_its_address_and_allowed_names(
    host: str, is_allowed: bool
):
    origins = Origins(["shop.example"], checks=True)
    assert refusal(origins, host=host) == (None if is_allowed else HostNotAllowed)
    assert refusal(Origins(["*"], checks=True), host="evil.example") is None


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://192.0.2.1:9123", True),
        (EVIL, False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_only_pages_of_loopback_and_of_the_server_itself_use_it_without_authentication(origin: str, is_allowed: bool):
    found = refusal(Origins(checks=True), host="192.0.2.1:9123", origin=origin)
    assert found == (None if is_allowed else OriginNotAllowed)


def test_named_origins_take_the_place_of_loopback():
    origins = Origins(origins=["https://shop.example/"], checks=True)
    assert refusal(origins, host="localhost", origin="https://shop.example") is None
    assert refusal(origins, host="localhost:1", origin="http://localhost:2") is OriginNotAllowed
    assert dict(origins.cors({"origin": "https://shop.example"}))[b"access-control-allow-origin"] == (
        b"https://shop.example"
    )
    assert dict(Origins(origins=["*"]).cors({"origin": EVIL}))[b"access-control-allow-origin"] == b"*"


def test_with_authentication_no_request_is_refused_and_other_pages_read_no_answer():
    origins = Origins()
    assert refusal(origins, host="evil.example", origin=EVIL) is None
    assert dict(origins.cors({"origin": EVIL})) == {b"vary": b"origin"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server, server.http() as client:
        yield client


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": EVIL}])
async def test_every_way_in_refuses_other_hosts_and_pages(client: httpx.AsyncClient, headers: dict[str, str]):
    for method, path in (
        ("GET", "/health"),
        ("DELETE", "/api/v1/runs/run_1"),
        ("POST", "/ironflow.v1.IronflowService/Trigger"),
        ("GET", "/"),
        ("OPTIONS", "/api/v1/events"),
        ("GET", "/metrics"),
    ):
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == 403, path
        assert answer.json()["reason"] in ("HOST_NOT_ALLOWED", "ORIGIN_NOT_ALLOWED")
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.processes
@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": EVIL}])
async def test_a_page_opens_no_socket_to_a_server_without_authentication(tmp_path: Path, headers: dict[str, str]):
    with a_server(tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.address) as client:
            answer = await client.get("/ws", headers=HANDSHAKE | headers)
            assert answer.status_code == 403
            answer = await client.delete("/api/v1/runs/run_1", headers=headers)
            assert answer.status_code == 403
