"""Config documents on either database, over REST as protocol/rest.md section 8 says, and what watchers receive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import msgspec
import pytest

from ironflow.base.errors import NotFound
from ironflow.base.operation import Operation
from ironflow.features.config import contract as config
from ironflow.features.config.contract import ConfigNotFound
from ironflow.features.kv import contract as kv
from tests.support.server import Server
from tests.support.streams import still_waiting

AT = "2026-01-01T00:00:00Z"


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as client:
        yield client


async def test_a_document_over_rest_from_creation_to_deletion(http: httpx.AsyncClient) -> None:
    path = "/api/v1/config/app"
    missing = await http.get(path)
    assert (missing.status_code, missing.json()["reason"]) == (404, "CONFIG_NOT_FOUND")

    assert (await http.post(path, json={"limit": 5, "on": True})).json() == {"name": "app", "revision": 1}
    assert (await http.patch(path, json={"limit": 6})).json() == {"name": "app", "revision": 2}
    assert (await http.get(path)).json() == {
        "name": "app",
        "data": {"limit": 6, "on": True},
        "revision": 2,
        "updatedAt": AT,
    }
    assert (await http.patch("/api/v1/config/new", json={"a": 1})).json() == {"name": "new", "revision": 3}
    assert (await http.get("/api/v1/config")).json() == {
        "configs": [
            {"name": "app", "revision": 2, "updatedAt": AT},
            {"name": "new", "revision": 3, "updatedAt": AT},
        ]
    }
    for _ in range(2):
        deleted = await http.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await http.get(path)).status_code == 404


async def test_a_condition_that_does_not_hold_changes_nothing(http: httpx.AsyncClient) -> None:
    path = "/api/v1/config/app"
    await http.post(path, json={"a": 1})
    for method, headers in (
        ("POST", {"If-None-Match": "*"}),
        ("POST", {"If-Match": "7"}),
        ("PATCH", {"If-Match": '"7"'}),
        ("DELETE", {"If-Match": "7"}),
    ):
        refused = await http.request(method, path, json={"a": 2}, headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (412, "CONFIG_REVISION_CONFLICT"), method
    assert (await http.get(path)).json()["data"] == {"a": 1}
    assert (await http.post(path, json={"a": 2}, headers={"If-Match": '"1"'})).json()["revision"] == 2


async def test_patches_of_different_members_made_at_once_all_hold(server: Server) -> None:
    await asyncio.gather(*(server.call(config.patch_config, name="app", data={f"m{n}": n}) for n in range(20)))

    found = await server.call(config.get_config, name="app")
    assert _plain(found.data) == {f"m{n}": n for n in range(20)}


async def test_documents_belong_to_their_environment(server: Server) -> None:
    await server.call(config.set_config, name="app", data={"a": 1}, env="one")

    with pytest.raises(ConfigNotFound):
        await server.call(config.get_config, name="app", env="two")
    assert (await server.call(config.list_configs, env="two")).configs == []


async def test_documents_are_listed_in_pages(server: Server) -> None:
    for name in ("c", "a", "b"):
        await server.call(config.set_config, name=name, data={})

    page = await server.call(config.list_configs, limit=2)
    assert ([each.name for each in page.configs], page.next_cursor) == (["a", "b"], "b")
    rest = await server.call(config.list_configs, limit=2, cursor="b")
    assert ([each.name for each in rest.configs], rest.next_cursor) == (["c"], None)


async def test_the_bucket_of_the_documents_is_no_users_bucket(server: Server) -> None:
    await server.call(config.set_config, name="app", data={"a": 1})

    assert (await server.call(kv.list_buckets)).buckets == []
    asked: list[tuple[Operation[Any, Any], dict[str, Any]]] = [
        (kv.get, {"key": "app"}),
        (kv.put, {"key": "app", "value": b"x"}),
        (kv.delete, {"key": "app"}),
        (kv.delete, {"key": "app", "purge": True}),
        (kv.list_keys, {}),
        (kv.get_history, {"key": "app"}),
        (kv.delete_bucket, {}),
    ]
    for operation, more in asked:
        with pytest.raises(NotFound):
            await server.call(operation, bucket="$config", **more)
    assert _plain((await server.call(config.get_config, name="app")).data) == {"a": 1}


async def test_a_watcher_receives_every_change_and_the_deletion(server: Server) -> None:
    async with aclosing(server.stream(config.watch_config, name="app")) as frames:
        first = asyncio.ensure_future(anext(frames))
        await still_waiting(first)
        await server.call(config.set_config, name="other", data={"x": 1})
        await server.call(config.set_config, name="app", data={"a": 1})
        seen = [_fields(await first)]
        await server.call(config.patch_config, name="app", data={"b": 2})
        seen.append(_fields(await anext(frames)))
        await server.call(config.delete_config, name="app")
        seen.append(_fields(await anext(frames)))

    assert seen == [
        ("config_update", "app", {"a": 1}, 2),
        ("config_update", "app", {"a": 1, "b": 2}, 3),
        ("config_delete", "app", None, 4),
    ]


async def test_a_watcher_that_comes_back_receives_what_it_missed(server: Server) -> None:
    await server.call(config.set_config, name="app", data={"a": 1})
    await server.call(config.set_config, name="app", data={"a": 2})

    async with aclosing(server.stream(config.watch_config, name="app", after=1)) as frames:
        assert _fields(await anext(frames)) == ("config_update", "app", {"a": 2}, 2)


async def test_a_watcher_can_ask_for_the_document_as_it_is_first(server: Server) -> None:
    await server.call(config.set_config, name="app", data={"a": 1})

    async with aclosing(server.stream(config.watch_config, name="app", initial=True)) as frames:
        assert _fields(await anext(frames)) == ("config_update", "app", {"a": 1}, 1)
        await server.call(config.set_config, name="app", data={"a": 2})
        assert _fields(await anext(frames)) == ("config_update", "app", {"a": 2}, 2)


def _fields(frame: config.ConfigFrame) -> tuple[str, str, Any, int]:
    return frame.type, frame.name, None if frame.data is None else _plain(frame.data), frame.revision


def _plain(data: Any) -> Any:
    return msgspec.json.decode(data)
