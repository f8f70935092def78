"""The watch sockets of buckets and config documents as a stock WebSocket client sees them, on both HTTP servers.

Source: protocol/websocket.md 2 and 3.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.wire.server_process import Server

pytestmark = pytest.mark.processes

WITHIN_S = 10.0


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.address) as client:
        yield client


@pytest.fixture
async def bucket(http: httpx.AsyncClient, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("[", "-").rstrip("]")
    assert (await http.post("/api/v1/kv/buckets", json={"name": name})).status_code == 201
    return name


def watching(server: Server, path: str) -> connect:
    return connect(server.address.replace("http", "ws") + path)


async def next_frame(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        return json.loads(await socket.recv())


async def test_changes_of_a_bucket_come_as_frames(server: Server, http: httpx.AsyncClient, bucket: str):
    path = f"/api/v1/kv/buckets/{bucket}"
    async with watching(server, f"{path}/watch?key=user.*&initial=false") as socket:
        await http.put(f"{path}/keys/order.1", content=b"no")
        await http.put(f"{path}/keys/user.1", content=b"yes")
        await http.delete(f"{path}/keys/user.1")
        seen = [await next_frame(socket), await next_frame(socket)]
    assert seen == [
        {
            "type": "kv_update",
            "key": "user.1",
            "value": "eWVz",
            "revision": 2,
            "operation": "put",
            "bucket": bucket,
        },
        {"type": "kv_update", "key": "user.1", "value": "", "revision": 3, "operation": "delete", "bucket": bucket},
    ]


async def test_a_watch_that_is_cut_goes_on_where_it_was(server: Server, http: httpx.AsyncClient, bucket: str):
    path = f"/api/v1/kv/buckets/{bucket}"
    async with watching(server, f"{path}/watch") as socket:
        await http.put(f"{path}/keys/a", content=b"1")
        last = (await next_frame(socket))["revision"]
    await http.put(f"{path}/keys/b", content=b"2")
    await http.delete(f"{path}/keys/a")
    async with watching(server, f"{path}/watch?after={last}") as socket:
        seen = [await next_frame(socket), await next_frame(socket)]
    assert [(each["key"], each["operation"], each["revision"]) for each in seen] == [
        ("b", "put", 2),
        ("a", "delete", 3),
    ]


async def test_the_values_as_they_are_come_first_when_asked_for(server: Server, http: httpx.AsyncClient, bucket: str):
    path = f"/api/v1/kv/buckets/{bucket}"
    await http.put(f"{path}/keys/a", content=b"1")
    async with watching(server, f"{path}/watch?initial=1") as socket:
        assert (await next_frame(socket))["key"] == "a"
        assert await next_frame(socket) == {"type": "kv_ready", "revision": 1, "bucket": bucket}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/config/a%20b/watch", 400),
        ("/api/v1/config/app/watch?after=x", 400),
        ("/api/v1/nothing/watch", 404),
    ],
)
async def test_a_watch_that_cannot_be_is_refused_at_the_handshake(server: Server, path: str, status: int):
    with pytest.raises(InvalidStatus) as refused:
        async with watching(server, path):
            pass
    # A server that has no answer of its own for a handshake says 403.
    assert refused.value.response.status_code in (status, 403)


@pytest.mark.parametrize("name", ["none", "$config"])
async def test_a_watch_of_no_bucket_is_accepted_and_refused_in_a_frame(server: Server, name: str):
    async with watching(server, f"/api/v1/kv/buckets/{name}/watch") as socket:
        frame = await next_frame(socket)
        assert (frame["type"], frame["message"].partition(":")[0]) == ("error", "bucket not found")
        with pytest.raises(ConnectionClosed):
            await next_frame(socket)


async def test_a_watch_begins_with_the_current_values(server: Server, http: httpx.AsyncClient, bucket: str):
    await http.put(f"/api/v1/kv/buckets/{bucket}/keys/user.1", content=b"yes")
    async with watching(server, f"/api/v1/kv/buckets/{bucket}/watch") as socket:
        assert [(await next_frame(socket))["type"] for _ in range(2)] == ["kv_update", "kv_ready"]
    await http.post(f"/api/v1/config/{bucket}", json={"limit": 5})
    async with watching(server, f"/api/v1/config/{bucket}/watch") as socket:
        assert (await next_frame(socket))["data"] == {"limit": 5}


async def test_a_bucket_that_is_deleted_ends_its_watch_with_an_error(
    server: Server, http: httpx.AsyncClient, bucket: str
):
    async with watching(server, f"/api/v1/kv/buckets/{bucket}/watch?initial=false") as socket:
        await http.delete(f"/api/v1/kv/buckets/{bucket}")
        frame = await next_frame(socket)
        assert (frame["type"], frame["code"]) == ("error", "KV_BUCKET_NOT_FOUND")
        with pytest.raises(ConnectionClosed):
            await next_frame(socket)


async def test_a_config_document_is_watched_from_before_it_exists(server: Server, http: httpx.AsyncClient, bucket: str):
    path = f"/api/v1/config/{bucket}"
    async with watching(server, f"{path}/watch") as socket:
        revision = (await http.post(path, json={"limit": 5})).json()["revision"]
        await http.patch(path, json={"on": True})
        await http.delete(path)
        first, second, third = [await next_frame(socket) for _ in range(3)]
    written_at = first.pop("updatedAt")
    assert written_at.endswith("Z")
    assert first == {"type": "config_update", "name": bucket, "data": {"limit": 5}, "revision": revision}
    assert second["data"] == {"limit": 5, "on": True}
    assert third == {"type": "config_delete", "name": bucket, "revision": revision + 2}
