"""Lists that existing clients read whole, without a limit: all up to 10,000 (protocol/rest.md); over RPC a page."""

from typing import Any

import pytest

from ironflow.features.config import contract as config
from ironflow.features.functions import contract as functions
from ironflow.features.kv import contract as kv
from ironflow.features.projections import contract as projections
from ironflow.features.schemas import contract as schemas
from ironflow.features.secrets import contract as secrets
from ironflow.features.streams import contract as streams
from tests.support.server import open_server
from tests.support.work import Work

COUNT = 101
NAMES = [f"n{number:04}" for number in range(COUNT)]


async def filled(server: Work, path: str) -> None:
    for name in NAMES:
        match path:
            case "functions":
                await server.call(functions.register, id=name, triggers=[{"event": "a"}])
            case "streams":
                event = {"entity_id": name, "entity_type": "order", "event_name": "placed", "data": {}}
                await server.call(streams.append, **event)
            case "projections":
                await server.call(projections.register, name=name, events=["a"])
            case "kv/buckets":
                await server.call(kv.create_bucket, name=name)
            case "config":
                await server.call(config.set_config, name=name, data={})
            case "workers":
                await server.a_worker(name)
            case "secrets":
                await server.call(secrets.create, name=name.upper(), value="v")
            case _:
                await server.call(schemas.register, event_name=name, version=1, schema_json="{}")


def items_of(answer: Any) -> list[Any]:
    (items,) = [each for each in ([answer] if isinstance(answer, list) else answer.values()) if isinstance(each, list)]
    return items


@pytest.mark.parametrize(
    "path", ["functions", "workers", "streams", "projections", "kv/buckets", "config", "secrets", "events/schemas"]
)
async def test_a_list_over_rest_without_a_limit_is_whole(database_url: str, path: str):
    async with open_server(Work, database_url, master_key="0" * 64) as server, server.http() as http:
        await filled(server, path)

        assert len(items_of((await http.get(f"/api/v1/{path}")).json())) == COUNT


async def test_functions_over_rpc_come_in_pages_of_a_hundred(server: Work):
    await filled(server, "functions")
    url = "/ironflow.v1.IronflowService/ListFunctions"
    async with server.http() as http:
        first = (await http.post(url, json={})).json()
        rest = (await http.post(url, json={"cursor": first["nextCursor"]})).json()

    assert [each["id"] for each in first["functions"] + rest["functions"]] == NAMES
    assert (len(first["functions"]), first["totalCount"]) == (100, COUNT)


@pytest.mark.parametrize("path", ["secrets", "apikeys", "orgs", "projects", "users", "roles", "policies", "tenants"])
async def test_a_bare_array_has_no_cursor_and_so_up_to_ten_thousand_items(server: Work, path: str):
    async with server.http() as http:
        assert (await http.get(f"/api/v1/{path}", params={"limit": 10_000})).status_code == 200
