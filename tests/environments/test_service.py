"""Environments: a key reaches its own only, and what others have looks like nothing at all."""

import httpx
import pytest

from tests.support.keys import SEED, Guarded

EMIT = {"name": "order.placed", "data": {"n": 1}}


async def test_a_key_of_an_environment_acts_there_whatever_default_it_sends(guarded: Guarded):
    await guarded.an_environment("staging")
    key = (await guarded.a_key("role_developer", env="staging"))["key"]
    for env in ("", "default", "env_default", "staging"):
        assert await guarded.status("POST", "/api/v1/events", EMIT, key=key, env=env) == 200

    assert (await guarded.request("GET", "/api/v1/events", env="staging"))["count"] == 4
    assert (await guarded.request("GET", "/api/v1/events"))["count"] == 0


async def test_it_is_refused_in_every_other_known_or_not(guarded: Guarded):
    made = await guarded.an_environment("staging")
    other = await guarded.an_environment("production")
    key = (await guarded.a_key("role_developer", env=made["id"]))["key"]
    async with guarded.client(key) as client:
        answers = [
            await client.get("/api/v1/events", headers={"x-ironflow-environment": env})
            for env in ("production", other["id"], "no-such")
        ]
        assert {answer.status_code for answer in answers} == {403}
        assert len({answer.text for answer in answers}) == 1
        by_id = await client.get("/api/v1/events", headers={"x-ironflow-environment-id": made["id"]})
        assert by_id.status_code == 200


async def test_a_key_for_all_environments_needs_one_that_exists(guarded: Guarded):
    assert await guarded.status("GET", "/api/v1/events", env="no-such") == 404
    made = await guarded.an_environment("staging")
    for named in ("staging", made["id"]):
        assert await guarded.status("GET", "/api/v1/events", env=named) == 200


@pytest.fixture
async def two(guarded: Guarded) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    """Clients of two environments, an administrator's in each."""
    clients: list[httpx.AsyncClient] = []
    for name in ("one", "two"):
        await guarded.an_environment(name)
        clients.append(guarded.client((await guarded.a_key("role_admin", env=name))["key"]))
    return clients[0], clients[1]


async def test_nothing_of_one_shows_in_the_other(two: tuple[httpx.AsyncClient, httpx.AsyncClient]):
    one, other = two
    secret = "visible-in-one-only"
    emitted = (await one.post("/api/v1/events", json={"name": secret, "data": {"x": secret}})).json()
    await one.post("/api/v1/kv/buckets", json={"name": secret})
    await one.put(f"/api/v1/kv/buckets/{secret}/keys/{secret}", content=secret)
    await one.put(f"/api/v1/config/{secret}", json={"x": secret})
    key = (await one.post("/api/v1/apikeys", json={"name": secret})).json()

    paths = [
        "events", "events/names", "runs", "functions", "kv/buckets", "config", "apikeys", "environments", "audit",
        "streams", "workers", "projections", "events/schemas",
    ]  # fmt: skip
    for path in paths:
        answer = await other.get(f"/api/v1/{path}")
        assert answer.status_code == 200, (path, answer.text)
        assert secret not in answer.text, path
    for path in (
        f"events/{emitted['event_id']}",
        f"kv/buckets/{secret}",
        f"kv/buckets/{secret}/keys/{secret}",
        f"config/{secret}",
        f"apikeys/{key['id']}",
        "environments/one",
    ):
        assert (await other.get(f"/api/v1/{path}")).status_code == 404, path
    assert (await other.delete(f"/api/v1/apikeys/{key['id']}")).status_code == 404
    assert (await other.post(f"/api/v1/apikeys/{key['id']}/rotate")).status_code == 404
    assert (await other.post("/api/v1/apikeys", json={"name": "x", "env_id": "one"})).status_code == 403


async def test_a_renamed_environment_keeps_its_data_and_keys(guarded: Guarded):
    made = await guarded.an_environment("staging")
    key = (await guarded.a_key("role_developer", env="staging"))["key"]
    await guarded.request("POST", "/api/v1/events", EMIT, key=key)

    await guarded.request("PUT", f"/api/v1/environments/{made['id']}", {"name": "acceptance"})
    second = await guarded.an_environment("staging")

    assert second["id"] != made["id"]
    assert (await guarded.request("GET", "/api/v1/events", env="acceptance"))["count"] == 1
    assert (await guarded.request("GET", "/api/v1/events", env="staging"))["count"] == 0
    assert (await guarded.request("GET", "/api/v1/events", key=key))["count"] == 1
    assert await guarded.status("GET", "/api/v1/events", key=key, env="acceptance") == 200
    assert await guarded.status("GET", "/api/v1/events", key=key, env="staging") == 403


async def test_names_are_unique_and_default_stays(guarded: Guarded):
    await guarded.an_environment("staging")
    for name, status in (("staging", 409), ("default", 409), ("env_x", 400), ("a b", 400), ("", 400)):
        assert await guarded.status("POST", "/api/v1/environments", {"name": name}) == status
    assert await guarded.status("PUT", "/api/v1/environments/default", {"name": "other"}) == 400
    assert await guarded.status("DELETE", "/api/v1/environments/env_default") == 400
    assert [each["name"] for each in await guarded.request("GET", "/api/v1/environments")] == ["default", "staging"]


async def test_an_environment_is_deleted_once_it_is_empty(guarded: Guarded):
    await guarded.an_environment("staging")
    made = await guarded.a_key("role_viewer", env="staging")
    assert await guarded.status("DELETE", "/api/v1/environments/staging") == 400
    await guarded.request("DELETE", f"/api/v1/apikeys/{made['id']}")
    assert await guarded.request("DELETE", "/api/v1/environments/staging") == {"status": "deleted"}
    assert await guarded.status("GET", "/api/v1/events", env="staging") == 404


async def test_two_headers_that_name_two_environments_are_refused(guarded: Guarded):
    mine, other = await guarded.an_environment("mine"), await guarded.an_environment("other")
    limited = (await guarded.a_key("role_admin", env="mine"))["key"]

    async def status(key: str, name: str, by_id: str) -> int:
        async with guarded.client(key) as client:
            headers = {"x-ironflow-environment": name, "x-ironflow-environment-id": by_id}
            return (await client.get("/api/v1/events", headers=headers)).status_code

    for key in (SEED, limited):
        for name, by_id in (("mine", "mine"), ("mine", mine["id"]), (mine["id"], "mine"), ("default", "mine")):
            assert await status(key, name, by_id) == 200
    for by_id in ("other", other["id"], "no-such"):
        assert await status(SEED, "mine", by_id) == 400
        assert await status(limited, "mine", by_id) == 403
        assert await status(limited, "default", by_id) == 403
    # What clients send unasked does not hide the environment that is meant.
    await guarded.request("POST", "/api/v1/events", EMIT, env="other")
    async with guarded.client() as client:
        headers = {"x-ironflow-environment": "default", "x-ironflow-environment-id": "other"}
        assert (await client.get("/api/v1/events", headers=headers)).json()["count"] == 1
