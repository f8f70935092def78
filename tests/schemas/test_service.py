"""Registering, listing, reading and deleting schemas, over the feature, REST and RPC, on both databases."""

import json
from typing import Any

import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.features.schemas import contract, service
from tests.support.work import Work

ORDER = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


async def register(server: Work, name: str = "order.placed", version: int = 1, schema: Any = ORDER, **more: Any) -> Any:
    return await server.call(contract.register, event_name=name, version=version, schema_json=schema, **more)


async def test_a_schema_is_created_then_updated_and_keeps_its_day_of_creation(server: Work):
    first = await register(server, description="an order")
    server.move(5_000)
    second = await register(server, schema=json.dumps({"type": "object"}))

    found = await server.call(contract.get, event_name="order.placed", version=1)

    assert (first.status, second.status) == ("created", "updated")
    assert found.schema_json == '{"type": "object"}'
    assert found.description == "an order"
    assert found.updated_at is not None
    assert (found.updated_at - found.created_at).total_seconds() == 5


async def test_version_0_is_the_latest(server: Work):
    for version in (2, 10, 9):
        await register(server, version=version, schema={"const": version})

    assert (await server.call(contract.get, event_name="order.placed")).version == 10
    with pytest.raises(contract.SchemaNotFound):
        await server.call(contract.get, event_name="order.placed", version=3)
    with pytest.raises(contract.SchemaNotFound):
        await server.call(contract.get, event_name="order.paid")
    with pytest.raises(contract.SchemaNotFound):
        await server.call(contract.get, event_name="order.placed", env="other")


async def test_a_list_goes_by_name_and_version_in_pages(server: Work):
    for name, version in (("b", 10), ("a", 2), ("b", 9), ("a", 1), ("c.x", 1)):
        await register(server, name, version)

    async def walk(**filters: Any) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        cursor = ""
        while True:
            page = await server.call(contract.list_, limit=2, cursor=cursor, **filters)
            seen += [(each.event_name, each.version) for each in page.schemas]
            if page.next_cursor is None:
                return seen
            cursor = page.next_cursor

    assert await walk() == [("a", 1), ("a", 2), ("b", 9), ("b", 10), ("c.x", 1)]
    assert await walk(event_name="b") == [("b", 9), ("b", 10)]
    assert await walk(event_name="c.*") == [("c.x", 1)]
    page = await server.call(contract.list_, limit=2, offset=3)
    assert ([(each.event_name, each.version) for each in page.schemas], page.total_count) == (
        [("b", 10), ("c.x", 1)],
        5,
    )
    with pytest.raises(InvalidArgument):
        await server.call(contract.list_, cursor="rubbish")


async def test_a_deleted_schema_is_removed_and_deleting_it_again_is_an_error(server: Work):
    await register(server)

    await server.call(contract.delete, event_name="order.placed", version=1)

    with pytest.raises(contract.SchemaNotFound):
        await server.call(contract.delete, event_name="order.placed", version=1)
    assert (await server.call(contract.list_)).schemas == []


async def test_a_bad_schema_is_refused_and_nothing_is_kept(server: Work):
    for schema in ({"type": "objekt"}, "{", "7", {"$ref": "http://127.0.0.1:1/x"}):
        with pytest.raises(contract.InvalidSchema):
            await register(server, schema=schema)
    with pytest.raises(contract.InvalidSchema):
        await register(server, name="order *")

    assert (await server.call(contract.list_)).total_count == 0


async def test_rest_answers_as_the_clients_know_it(server: Work):
    async with server.http() as http:
        made = await http.post(
            "/api/v1/events/schemas", json={"event_name": "a.b", "version": 1, "schema_json": json.dumps(ORDER)}
        )
        again = await http.post(
            "/api/v1/events/schemas", json={"event_name": "a.b", "version": 1, "schema_json": ORDER}
        )
        await http.post("/api/v1/events/schemas", json={"eventName": "a.b", "version": 2, "schemaJson": ORDER})
        listed = (await http.get("/api/v1/events/schemas")).json()
        latest = (await http.get("/api/v1/events/schemas/a.b")).json()
        one = (await http.get("/api/v1/events/schemas/a.b/1")).json()
        deleted = await http.delete("/api/v1/events/schemas/a.b/1")
        missing = await http.get("/api/v1/events/schemas/a.b/1")
        bad = await http.post("/api/v1/events/schemas", json={"event_name": "a.b", "schema_json": {"type": "objekt"}})

    assert (made.status_code, again.status_code, deleted.status_code, missing.status_code) == (201, 200, 204, 404)
    assert made.json()["schema"] == ORDER
    assert json.loads(made.json()["schema_json"]) == ORDER
    assert [(each["event_name"], each["version"]) for each in listed["schemas"]] == [("a.b", 1), ("a.b", 2)]
    assert (latest["version"], one["version"], one["schema"]) == (2, 1, ORDER)
    assert bad.status_code == 400
    assert "/type" in bad.json()["message"]


async def test_rpc_answers_as_the_clients_know_it(server: Work):
    service = "/ironflow.v1.EventSchemaService/"
    async with server.http() as http:
        made = await http.post(
            f"{service}RegisterSchema", json={"eventName": "a.b", "version": 1, "schemaJson": json.dumps(ORDER)}
        )
        listed = await http.post(f"{service}ListSchemas", json={"eventName": "a.b", "limit": 10})
        one = await http.post(f"{service}GetSchema", json={"eventName": "a.b", "version": 0})
        missing = await http.post(f"{service}GetSchema", json={"eventName": "a.c"})
        deleted = await http.post(f"{service}DeleteSchema", json={"eventName": "a.b", "version": 1})

    assert made.json() == {"status": "created"}
    assert listed.json()["totalCount"] == 1
    assert json.loads(listed.json()["schemas"][0]["schemaJson"]) == ORDER
    assert (one.json()["version"], json.loads(one.json()["schemaJson"])) == (1, ORDER)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (deleted.status_code, deleted.json()) == (200, {})


async def test_a_try_of_an_upcast_answers_the_data_with_a_step_for_each_version(server: Work):
    """Upcasters are code of the workers; a server without any changes nothing."""
    data = {"total": 1}
    await server.call(contract.register, event_name="a.b", version=2, schema_json="{}")
    same = await server.call(contract.test_upcast, event_name="a.b", from_version=2, to_version=2, data=data)
    tried = await server.call(contract.upcast, event_name="a.b", from_version=1, to_version=2, data=data)
    done = await server.call(contract.test_upcast, event_name="a.b", from_version=1, to_version=3, data=data)

    assert (json.loads(bytes(same.data)), same.steps_applied) == (data, [])
    assert (tried.success, json.loads(bytes(tried.data))) == (True, data)
    assert [(each.from_version, each.to_version, each.description) for each in done.steps_applied] == [
        (1, 2, "upcast to v2"),
        (2, 3, "no schema registered for version 3"),
    ]


async def test_past_events_are_held_to_a_schema_before_it_is_registered(server: Work):
    fits = await server.emit(data={"total": 1})
    wrong = await server.emit(data={"total": "two", "card": "4242"})
    await server.emit("order.returned", data={})

    answer = await server.call(contract.check_events, event_name="order.placed", schema_json=ORDER)

    assert (answer.checked, answer.fit, answer.more) == (2, 1, False)
    (departure,) = answer.departures
    assert (departure.event_id, departure.path) == (wrong.event_id, "/total")
    assert fits.event_id != wrong.event_id
    assert "4242" not in departure.reason


async def test_the_newest_events_are_held_to_the_registered_schema(server: Work):
    await register(server, schema={"required": ["total"]})
    for _ in range(3):
        await server.emit(data={})

    answer = await server.call(contract.check_events, event_name="order.placed", limit=2)

    assert (answer.checked, answer.fit, answer.more) == (2, 0, True)


async def test_events_of_one_version_are_checked(server: Work):
    await server.emit(data={}, version=1)
    await server.emit(data={}, version=2)

    answer = await server.call(contract.check_events, event_name="order.placed", schema_json=ORDER, of_version=2)

    assert (answer.checked, answer.departures[0].version) == (1, 2)


async def test_events_of_other_versions_are_looked_at_up_to_a_number(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "LOOKED_AT_MAX", 3)
    for version in (2, 2, 1, 1):
        await server.emit(data={}, version=version)

    answer = await server.call(contract.check_events, event_name="order.placed", schema_json=ORDER, of_version=2)

    assert (answer.checked, answer.more) == (1, True)


async def test_events_cannot_be_held_to_a_schema_that_is_none(server: Work):
    with pytest.raises(contract.SchemaNotFound):
        await server.call(contract.check_events, event_name="order.placed")
    with pytest.raises(contract.InvalidSchema):
        await server.call(contract.check_events, event_name="order.placed", schema_json={"type": 1})
