"""What existing clients send and read, over Connect JSON and REST."""

from typing import Any

import httpx

from tests.support.work import Work

RPC = "/ironflow.v1.EntityStreamService/"
AT = "2026-01-01T00:00:00Z"


async def ask(client: httpx.AsyncClient, method: str, **fields: Any) -> httpx.Response:
    return await client.post(RPC + method, json=fields)


async def a_stream(client: httpx.AsyncClient) -> None:
    for version, name in enumerate(("order.placed", "order.paid")):
        await ask(
            client, "AppendEvent",
            entityId="order-7", entityType="order", eventName=name, data={"n": version}, expectedVersion=version,
        )  # fmt: skip


async def test_connect_answers_64_bit_numbers_as_text(server: Work):
    async with server.http() as client:
        answer = await ask(
            client, "AppendEvent",
            entityId="order-7", entityType="order", eventName="order.placed", data={"n": 1},
            expectedVersion=-1, idempotencyKey="", version=1,
        )  # fmt: skip
        answered = answer.json()
        assert answered == {"entityVersion": "1", "eventId": answered["eventId"], "sequence": "1"}

        read = (
            await ask(client, "ReadStream", entityId="order-7", fromVersion=0, limit=50, direction="forward")
        ).json()
        assert read["totalCount"] == 1
        (event,) = read["events"]
        assert (event["entityVersion"], event["version"], event["natsSeq"]) == ("1", 1, "1")
        assert (event["data"], event["timestamp"]) == ({"n": 1}, AT)

        info = (await ask(client, "GetStreamInfo", entityId="order-7")).json()
        assert info == {
            "entityId": "order-7",
            "entityType": "order",
            "version": "1",
            "eventCount": "1",
            "createdAt": AT,
            "updatedAt": AT,
        }


async def test_a_conflict_is_aborted_on_every_wire(server: Work):
    async with server.http() as client:
        await a_stream(client)
        conflict = {"entityType": "order", "eventName": "order.paid", "expectedVersion": 0}
        rpc = await ask(client, "AppendEvent", entityId="order-7", **conflict)
        rest = await client.post("/api/v1/streams/order-7/events", json=conflict)

    for answer in (rpc, rest):
        assert (answer.status_code, answer.json()["code"]) == (409, "aborted")
        assert "version conflict" in answer.json()["message"]
    assert rest.json()["details"] == {"current_version": 2, "expected_version": 0}


async def test_a_missing_stream_has_exactly_the_message_that_clients_test_for(server: Work):
    async with server.http() as client:
        answer = await ask(client, "GetStreamInfo", entityId="order-7")
    assert answer.status_code == 404
    assert (answer.json()["code"], answer.json()["message"]) == ("not_found", "stream not found")


async def test_payloads_that_are_no_objects_come_under_both_names(server: Work):
    async with server.http() as client:
        await ask(client, "AppendEvent", entity_id="e", entity_type="t", event_name="n", data_value=[1, 2])
        await ask(client, "CreateSnapshot", entityId="e", entityType="t", entityVersion="1", stateValue="text")
        (event,) = (await ask(client, "ReadStream", entityId="e")).json()["events"]
        snapshot = (await ask(client, "GetSnapshot", entityId="e", beforeVersion=0)).json()

    assert event["data"] == event["dataValue"] == [1, 2]
    assert snapshot["state"] == snapshot["stateValue"] == "text"
    assert (snapshot["entityVersion"], snapshot["createdAt"]) == ("1", AT)


async def test_rest_lists_streams_with_plain_numbers(server: Work):
    async with server.http() as client:
        await a_stream(client)
        found = (await client.get("/api/v1/streams")).json()
    (stream,) = found["streams"]
    camel = {
        "entityId": "order-7",
        "entityType": "order",
        "version": 2,
        "eventCount": 2,
        "createdAt": AT,
        "updatedAt": AT,
        "lastEventAt": AT,
    }
    snake = {"entity_id": "order-7", "entity_type": "order", "event_count": 2}
    assert stream == camel | snake | {"created_at": AT, "updated_at": AT, "last_event_at": AT}


async def test_rest_history_is_oldest_first(server: Work):
    async with server.http() as client:
        await a_stream(client)
        found = (await client.get("/api/v1/streams/order-7/history")).json()
    names = ("order.placed", "order.paid")
    assert [{each[name] for name in ("eventName", "event_name")} for each in found["events"]] == [
        {name} for name in names
    ]
    assert [(each["data"], each["version"], each["timestamp"]) for each in found["events"]] == [
        ({"n": 0}, 1, AT),
        ({"n": 1}, 2, AT),
    ]
    # As Go clients read them.
    assert [
        (each["event_name"], each["event_data"], each["entity_version"], each["timestamp"]) for each in found["entries"]
    ] == [("order.placed", {"n": 0}, 1, AT), ("order.paid", {"n": 1}, 2, AT)]


async def test_an_entity_may_have_slashes_in_its_id(server: Work):
    async with server.http() as client:
        for path in ("a%2Fb", "a/b"):
            answer = await client.post(f"/api/v1/streams/{path}/events", json={"entityType": "t", "name": "n"})
            assert answer.status_code == 201
        assert (await client.get("/api/v1/streams/a/b")).json()["version"] == 2
        assert len((await client.get("/api/v1/streams/a/b/history")).json()["events"]) == 2
        read = (await client.get("/api/v1/streams/a%2Fb/events?direction=backward&limit=1")).json()
    assert [each["entityVersion"] for each in read["events"]] == [2]
    assert read["nextVersion"] == 1


async def test_the_history_of_runs_has_short_names(server: Work):
    await server.a_function()
    async with server.http() as client:
        await a_stream(client)
        found = (await ask(client, "GetEntityHistory", entityId="order-7", limit=1)).json()
    (entry,) = found["entries"]
    assert (found["nextCursor"], found["totalEvents"], found["info"]["currentVersion"]) == ("2", "2", "2")
    assert (entry["eventName"], entry["entityVersion"], entry["eventData"]) == ("order.placed", "1", {"n": 0})
    assert [(run["functionId"], run["status"]) for run in entry["runs"]] == [("charge", "pending")]


async def test_a_run_lists_its_streams(server: Work):
    run = await server.a_run()
    async with server.http() as client:
        headers = {"X-Ironflow-Run-ID": run.id}
        await client.post("/api/v1/streams/e/events", json={"entityType": "t", "name": "n"}, headers=headers)
        found = (await client.get(f"/api/v1/runs/{run.id}/streams")).json()
    assert found["entity_ids"] == ["e"]


def text(number: int, value: str) -> bytes:
    """A text in a protobuf message, of less than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value.encode()


def whole(number: int, value: int) -> bytes:
    """A whole number in a protobuf message: below 128, or -1."""
    return bytes([number << 3]) + (bytes([value]) if value >= 0 else b"\xff" * 9 + b"\x01")


async def test_zero_is_absent_from_binary_and_read_from_its_absence(server: Work):
    """Source: decision 0017."""
    entity = text(1, "order-7") + text(2, "order") + text(3, "order.placed")
    async with server.http() as client:

        async def append(*expected: bytes) -> tuple[int, bytes]:
            body = entity + b"".join(expected)
            answer = await client.post(f"{RPC}AppendEvent", content=body, headers={"content-type": "application/proto"})
            return answer.status_code, answer.content

        status, content = await append()
        assert (status, content[:2]) == (200, whole(1, 1))
        status, content = await append()
        assert status == 409
        assert b"version conflict" in content
        status, content = await append(whole(5, -1))
        assert (status, content[:2]) == (200, whole(1, 2))
        status, content = await append(whole(5, 2))
        assert (status, content[:2]) == (200, whole(1, 3))
