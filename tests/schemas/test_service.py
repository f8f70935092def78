"""Registering, listing, reading and deleting schemas, over the room, REST and RPC, on both databases."""

import json
from typing import Any

import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.features.schemas import contract
from tests.support.work import Work

ORDER = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


async def register(house: Work, name: str = "order.placed", version: int = 1, schema: Any = ORDER, **more: Any) -> Any:
    return await house.call(contract.register, event_name=name, version=version, schema_json=schema, **more)


async def test_a_schema_is_created_then_updated_and_keeps_its_day_of_creation(house: Work):
    first = await register(house, description="an order")
    house.move(5_000)
    second = await register(house, schema=json.dumps({"type": "object"}))

    found = await house.call(contract.get, event_name="order.placed", version=1)

    assert (first.status, second.status) == ("created", "updated")
    assert found.schema_json == '{"type": "object"}'
    assert found.description == "an order"
    assert found.updated_at is not None
    assert (found.updated_at - found.created_at).total_seconds() == 5


async def test_version_0_is_the_latest(house: Work):
    for version in (2, 10, 9):
        await register(house, version=version, schema={"const": version})

    assert (await house.call(contract.get, event_name="order.placed")).version == 10
    with pytest.raises(contract.SchemaNotFound):
        await house.call(contract.get, event_name="order.placed", version=3)
    with pytest.raises(contract.SchemaNotFound):
        await house.call(contract.get, event_name="order.paid")
    with pytest.raises(contract.SchemaNotFound):
        await house.call(contract.get, event_name="order.placed", env="other")


async def test_a_list_goes_by_name_and_version_in_pages(house: Work):
    for name, version in (("b", 10), ("a", 2), ("b", 9), ("a", 1), ("c.x", 1)):
        await register(house, name, version)

    async def walk(**filters: Any) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        cursor = ""
        while True:
            page = await house.call(contract.list_, limit=2, cursor=cursor, **filters)
            seen += [(each.event_name, each.version) for each in page.schemas]
            if page.next_cursor is None:
                return seen
            cursor = page.next_cursor

    assert await walk() == [("a", 1), ("a", 2), ("b", 9), ("b", 10), ("c.x", 1)]
    assert await walk(event_name="b") == [("b", 9), ("b", 10)]
    assert await walk(event_name="c.*") == [("c.x", 1)]
    page = await house.call(contract.list_, limit=2, offset=3)
    assert ([(each.event_name, each.version) for each in page.schemas], page.total_count) == (
        [("b", 10), ("c.x", 1)],
        5,
    )
    with pytest.raises(InvalidArgument):
        await house.call(contract.list_, cursor="rubbish")


async def test_a_deleted_schema_is_gone_and_deleting_it_again_is_an_error(house: Work):
    await register(house)

    await house.call(contract.delete, event_name="order.placed", version=1)

    with pytest.raises(contract.SchemaNotFound):
        await house.call(contract.delete, event_name="order.placed", version=1)
    assert (await house.call(contract.list_)).schemas == []


async def test_a_bad_schema_is_refused_and_nothing_is_kept(house: Work):
    for schema in ({"type": "objekt"}, "{", "7", {"$ref": "http://127.0.0.1:1/x"}):
        with pytest.raises(contract.InvalidSchema):
            await register(house, schema=schema)
    with pytest.raises(contract.InvalidSchema):
        await register(house, name="order *")

    assert (await house.call(contract.list_)).total_count == 0


async def test_rest_speaks_as_the_clients_know_it(house: Work):
    async with house.http() as http:
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
        gone = await http.delete("/api/v1/events/schemas/a.b/1")
        missing = await http.get("/api/v1/events/schemas/a.b/1")
        bad = await http.post("/api/v1/events/schemas", json={"event_name": "a.b", "schema_json": {"type": "objekt"}})

    assert (made.status_code, again.status_code, gone.status_code, missing.status_code) == (201, 200, 204, 404)
    assert made.json()["schema"] == ORDER
    assert json.loads(made.json()["schema_json"]) == ORDER
    assert [(each["event_name"], each["version"]) for each in listed["schemas"]] == [("a.b", 1), ("a.b", 2)]
    assert (latest["version"], one["version"], one["schema"]) == (2, 1, ORDER)
    assert bad.status_code == 400
    assert "/type" in bad.json()["message"]


async def test_rpc_speaks_as_the_clients_know_it(house: Work):
    service = "/ironflow.v1.EventSchemaService/"
    async with house.http() as http:
        made = await http.post(
            f"{service}RegisterSchema", json={"eventName": "a.b", "version": 1, "schemaJson": json.dumps(ORDER)}
        )
        listed = await http.post(f"{service}ListSchemas", json={"eventName": "a.b", "limit": 10})
        one = await http.post(f"{service}GetSchema", json={"eventName": "a.b", "version": 0})
        missing = await http.post(f"{service}GetSchema", json={"eventName": "a.c"})
        gone = await http.post(f"{service}DeleteSchema", json={"eventName": "a.b", "version": 1})

    assert made.json() == {"status": "created"}
    assert listed.json()["totalCount"] == 1
    assert json.loads(listed.json()["schemas"][0]["schemaJson"]) == ORDER
    assert (one.json()["version"], json.loads(one.json()["schemaJson"])) == (1, ORDER)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (gone.status_code, gone.json()) == (200, {})


async def test_upcasting_is_the_workers_work(house: Work):
    data = {"total": 1}
    same = await house.call(contract.test_upcast, event_name="a.b", from_version=2, to_version=2, data=data)
    tried = await house.call(contract.upcast, event_name="a.b", from_version=1, to_version=2, data=data)

    assert (json.loads(bytes(same.data)), same.steps_applied) == (data, [])
    assert (tried.success, json.loads(bytes(tried.data))) == (False, data)
    assert "UpcasterRegistry" in (tried.error or "")
    with pytest.raises(contract.NoUpcaster) as refusal:
        await house.call(contract.test_upcast, event_name="a.b", from_version=1, to_version=2, data=data)
    assert refusal.value.connect == "failed_precondition"
