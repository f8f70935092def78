"""Who reads `/metrics`, and what of single tenants it shows."""

import pytest

from tests.support.keys import SEED, Guarded, open_guarded
from tests.support.server import Server, open_server

OF_TENANTS = ("ironflow_environment_stored_bytes{", "ironflow_limits_refused_total{")


async def page(server: Guarded, key: str) -> tuple[int, str]:
    async with server.client(key) as client:
        answer = await client.get("/metrics")
    return answer.status_code, answer.text


async def used(guarded: Guarded) -> None:
    """An environment has stored something, and a limit has refused something."""
    await guarded.an_environment("acme-prod")
    await guarded.request("POST", "/api/v1/events", {"name": "order.placed", "data": {}}, env="acme-prod")
    await guarded.loop("usage")
    await guarded.request("PUT", "/api/v1/limits/env:acme-prod", {"requests_per_second": 1})
    assert [await guarded.status("GET", "/api/v1/runs", env="acme-prod") for _ in range(2)] == [200, 429]


async def test_an_open_page_shows_nothing_of_single_tenants_but_the_published_series(database_url: str):
    async with open_guarded(database_url) as guarded:
        await used(guarded)
        status, text = await page(guarded, "")
        assert status == 200
        assert "ironflow_http_requests_total{" in text
        assert not [each for each in OF_TENANTS if each in text]


async def test_a_page_that_demands_a_key_shows_them_to_a_key_of_all_environments(database_url: str):
    async with open_guarded(database_url, metrics_key=True) as guarded:
        await used(guarded)
        viewer = (await guarded.a_key("role_viewer"))["key"]
        limited = (await guarded.a_key("role_admin", env="acme-prod"))["key"]
        emitter = await guarded.request("POST", "/api/v1/roles", {"name": "none"})

        for key in (SEED, viewer):
            status, text = await page(guarded, key)
            assert (status, [each for each in OF_TENANTS if each in text]) == (200, [*OF_TENANTS])
        assert (await page(guarded, ""))[0] == 401
        assert (await page(guarded, "ifkey_" + "w" * 40))[0] == 401
        guarded.move(1_000)
        status, text = await page(guarded, limited)
        assert status == 403
        assert "ironflow_" not in text
        assert (await page(guarded, (await guarded.a_key(emitter["id"]))["key"]))[0] == 403


@pytest.mark.parametrize("metrics_key", [False, True])
async def test_without_authentication_the_page_shows_all(database_url: str, metrics_key: bool):
    async with open_server(Server, database_url, metrics_key=metrics_key) as server, server.http() as client:
        await client.post("/api/v1/events", json={"name": "order.placed", "data": {}})
        await server.loop("usage")
        answer = await client.get("/metrics")
        assert (answer.status_code, OF_TENANTS[0] in answer.text) == (200, True)
