"""Every streaming method in both dialects of JSON, on a real socket. Source: protocol/connectrpc.md 2."""

import json
import uuid
from typing import Any

import httpx
import pytest
from google.protobuf import json_format

from ironflow.transports.protobuf.schema import ironflow_schema
from tests.structure.contracts import all_operations
from tests.wire import oracle
from tests.wire.clients import JSON, Http2, enveloped, http2
from tests.wire.server_process import Server

pytestmark = pytest.mark.processes

SERVICE = "/ironflow.v1."
STRICT = {"connect-protocol-version": "1"}
PAYLOAD = [1, "two"]
BOTH_WAYS = {rpc for each in all_operations() if each.streaming == "bidi" for rpc in each.rpc}
# The request of each method; the braces are a name that no other test uses.
REQUESTS: dict[str, dict[str, Any]] = {
    "ProjectionService/StreamProjectionEvents": {"name": "{}", "batchSize": 10, "acceptHeartbeats": True},
    "ProjectionService/WaitProjectionCatchupStream": {"name": "{}", "minSeq": "1", "timeoutMs": 20},
    "PubSubService/Subscribe": {"pattern": "topic:{}", "options": {"replay": 1}},
    "PubSubService/JoinConsumerGroup": {"groupName": "{}", "consumerId": "c"},
    "PubSubService/SubscribeBidirectional": {"join": {"groupName": "{}", "consumerId": "c"}},
    "WorkerService/Connect": {"register": {"workerId": "{}", "functionIds": ["f"], "maxConcurrentJobs": 1}},
}


@pytest.fixture
async def name(server: Server) -> str:
    """The name of a projection, a group and a topic that have one message, which is no object."""
    name = uuid.uuid4().hex[:8]
    async with httpx.AsyncClient(base_url=server.address) as client:
        for method, body in (
            ("PubSubService/CreateConsumerGroup", {"name": name, "pattern": f"topic:{name}"}),
            ("ProjectionService/RegisterProjection", {"name": name, "events": [f"e.{name}"], "mode": "managed"}),
            ("PubSubService/Publish", {"topic": name, "data": PAYLOAD}),
            ("IronflowService/Trigger", {"event": f"e.{name}", "data": PAYLOAD}),
        ):
            assert (await client.post(SERVICE + method, json=body)).is_success
    return name


async def messages(connection: Http2, rpc: str, name: str, headers: dict[str, str], count: int) -> list[bytes]:
    """The first messages of a stream, each as it was sent."""
    body = enveloped(json.dumps(REQUESTS[rpc]).replace("{}", name).encode())
    stream = connection.post(SERVICE + rpc, {"content-type": JSON, **headers}, body, end=rpc not in BOTH_WAYS)
    await stream.head()
    found: list[bytes] = []
    for _ in range(count):
        frame = await stream.frame()
        assert frame is not None, found
        assert frame.flags == 0, frame
        found.append(frame.data)
    return found


def test_each_streaming_method_has_a_request():
    streams = {rpc for each in all_operations() if each.streaming != "unary" for rpc in each.rpc}
    assert set(REQUESTS) == {rpc for rpc in streams if ironflow_schema().method(f"ironflow.v1.{rpc}")}


@pytest.mark.parametrize("rpc", REQUESTS)
async def test_a_stream_answers_in_the_dialect_of_its_request(server: Server, name: str, rpc: str):
    _, kind = oracle.requests_and_responses(rpc)
    count = 2 if rpc == "PubSubService/SubscribeBidirectional" else 1
    async with http2(server.address) as connection:
        for frame in await messages(connection, rpc, name, STRICT, count):
            # A generated reader takes it, refuses what it does not know, and its own writer says the same.
            read = json_format.Parse(frame, kind())
            assert json.loads(json_format.MessageToJson(read)) == json.loads(frame)
            assert b'"data":' not in frame
    async with http2(server.address) as connection:
        last = json.loads((await messages(connection, rpc, name, {}, count))[-1])

    expected: dict[str, Any] = {
        "ProjectionService/StreamProjectionEvents": {"data": PAYLOAD, "dataValue": PAYLOAD},
        "ProjectionService/WaitProjectionCatchupStream": {"caughtUp": True, "timedOut": False},
        # In the browser a generated decoder reads it.
        "PubSubService/Subscribe": {"dataValue": PAYLOAD},
        "PubSubService/JoinConsumerGroup": {"data": PAYLOAD, "dataValue": PAYLOAD},
    }.get(rpc, {})
    assert {each: last.get(each) for each in expected} == expected
