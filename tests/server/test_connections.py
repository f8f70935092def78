"""Open sockets, streams and held requests of one principal are closed at once, and those of others stay."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ironflow.base.call import Call, Credentials, Principal
from ironflow.base.connections import Connections
from ironflow.base.errors import IronflowError, Unauthenticated
from tests.support.work import Work


def test_a_principal_has_its_connections_until_they_end():
    registry = Connections()
    closed: list[tuple[str, IronflowError]] = []
    error = Unauthenticated("revoked")

    with (
        registry.opened("websocket", Principal("key:a"), lambda error: closed.append(("a", error))),
        registry.opened("stream", Principal("key:b"), lambda error: closed.append(("b", error))),
    ):
        assert registry.counts() == {"websocket": 1, "event_stream": 0, "stream": 1, "held_request": 0}
        assert registry.close_all_of("key:a", error) == 1
        assert registry.close_all_of("key:c", error) == 0

    assert closed == [("a", error)]
    assert set(registry.counts().values()) == {0}
    assert list(registry.of("key:a")) == []


class Client:
    """One connection to the application, with the messages that it was sent."""

    def __init__(self, server: Work, key: str, scope: Mapping[str, Any], *messages: Mapping[str, Any]) -> None:
        self.sent: list[Any] = []
        self._to_receive = list(messages)
        headers = [(b"authorization", f"Bearer {key}".encode()), *scope.get("headers", [])]
        whole = {"client": None, "query_string": b"", "http_version": "2", **scope, "headers": headers}
        self.task = asyncio.create_task(server.inside.app(whole, self._receive, self._send))

    async def _receive(self) -> Mapping[str, Any]:
        return self._to_receive.pop(0) if self._to_receive else await asyncio.get_running_loop().create_future()

    async def _send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)

    @property
    def bytes(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def clients(server: Work, key: str) -> dict[str, Client]:
    """One connection of each kind."""
    get = {"type": "http", "method": "GET"}
    body = msgspec.json.encode({"pattern": "a"})
    frame = b"\0" + len(body).to_bytes(4, "big") + body
    connect = {
        "type": "http",
        "method": "POST",
        "path": "/ironflow.v1.PubSubService/Subscribe",
        "headers": [(b"content-type", b"application/connect+json")],
    }
    poll = {**get, "path": "/api/v1/workers/w1/jobs", "query_string": b"available=1&wait=20"}
    return {
        "websocket": Client(server, key, {"type": "websocket", "path": "/ws"}, {"type": "websocket.connect"}),
        "event_stream": Client(
            server, key, {**get, "path": "/api/v1/subscribe", "query_string": b"pattern=a"}, {"type": "http.request"}
        ),
        "stream": Client(server, key, connect, {"type": "http.request", "body": frame}),
        "held_request": Client(server, key, poll, {"type": "http.request"}),
    }


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 nothing announces it
            await asyncio.sleep(0.005)


async def test_what_a_revoked_key_holds_open_is_closed_with_the_reason(server: Work):
    async def authenticate(credentials: Credentials) -> Call:
        return Call("default", server.now, Principal(credentials.authorization.removeprefix("Bearer ")))

    server.dispatch.authenticator = authenticate
    await server.a_function()
    await server.a_worker("w1")
    connections = server.dispatch.connections
    revoked, others = clients(server, "a"), clients(server, "b")
    await until(lambda: set(connections.counts().values()) == {2})

    connections.close_all_of("a", Unauthenticated("The key is revoked."))
    async with asyncio.timeout(5):
        await asyncio.gather(*(client.task for client in revoked.values()))

    assert set(connections.counts().values()) == {1}
    (last,) = [message for message in revoked["websocket"].sent if message["type"] == "websocket.close"]
    assert last["code"] == 1008
    for kind in ("event_stream", "stream", "held_request"):
        assert b"The key is revoked." in revoked[kind].bytes
    assert revoked["held_request"].sent[0]["status"] == 401
    for client in others.values():
        client.task.cancel()
    await asyncio.gather(*(client.task for client in others.values()), return_exceptions=True)
    assert set(connections.counts().values()) == {0}
