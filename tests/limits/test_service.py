"""Limits: what is refused, for whom, and when it is accepted again."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from ironflow.base.call import Credentials
from ironflow.features.config import contract as config
from ironflow.features.limits.contract import LimitReached
from tests.support.keys import SEED, Guarded, open_guarded
from tests.support.users import a_token, a_user


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url, metrics_key=True) as opened:
        yield opened


async def statuses(server: Guarded, count: int, key: str, env: str = "") -> list[int]:
    return [await server.status("GET", "/api/v1/runs", key=key, env=env) for _ in range(count)]


async def test_a_key_is_refused_beyond_its_requests_and_given_the_time_to_come_back(guarded: Guarded):
    one, other = await guarded.a_key("role_viewer"), await guarded.a_key("role_viewer")
    await guarded.request("PUT", f"/api/v1/limits/key:{one['id']}", {"requests_per_second": 2})

    assert await statuses(guarded, 3, one["key"]) == [200, 200, 429]
    async with guarded.client(one["key"]) as client:
        refused = await client.get("/api/v1/runs")
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["retry_after"] == pytest.approx(0.5)
    assert refused.json()["reason"] == "LIMIT_REACHED"
    assert await statuses(guarded, 3, other["key"]) == [200, 200, 200]

    guarded.move(500)
    assert await statuses(guarded, 2, one["key"]) == [200, 429]
    (shown,) = (await guarded.request("GET", "/api/v1/limits"))["limits"]
    assert (shown["subject"], shown["refused"]) == (f"key:{one['id']}", 3)
    async with guarded.client() as client:
        metrics = (await client.get("/metrics")).text
    assert f'ironflow_limits_refused_total{{limit="requests",subject="key:{one["id"]}"}} 3.0' in metrics

    await guarded.request("DELETE", f"/api/v1/limits/key:{one['id']}")
    assert await statuses(guarded, 3, one["key"]) == [200, 200, 200]
    assert await guarded.status("DELETE", f"/api/v1/limits/key:{one['id']}") == 404


async def test_all_keys_of_an_environment_share_its_limit(guarded: Guarded):
    await guarded.an_environment("staging")
    one = await guarded.a_key("role_viewer", env="staging")
    other = await guarded.a_key("role_viewer", env="staging")
    await guarded.request("PUT", "/api/v1/limits/env:staging", {"requests_per_second": 1, "burst": 2})
    assert await statuses(guarded, 1, one["key"]) + await statuses(guarded, 2, other["key"]) == [200, 200, 429]
    assert await guarded.status("GET", "/api/v1/runs") == 200


async def test_a_limit_for_each_key_counts_each_by_itself(guarded: Guarded):
    one, other = await guarded.a_key("role_viewer"), await guarded.a_key("role_viewer")
    await guarded.request("PUT", f"/api/v1/limits/key:{other['id']}", {"requests_per_second": 100})
    await guarded.request("PUT", "/api/v1/limits/key:*", {"requests_per_second": 1})
    assert await statuses(guarded, 2, one["key"]) == [200, 429]
    assert await statuses(guarded, 3, other["key"]) == [200, 200, 200]


async def test_reports_of_workers_and_public_routes_are_not_limited(guarded: Guarded):
    made = await guarded.a_key("role_developer")
    await guarded.request("PUT", f"/api/v1/limits/key:{made['id']}", {"requests_per_second": 1})
    await guarded.request("POST", "/api/v1/workers/w/register", {"function_ids": ["f"]}, key=made["key"])
    for _ in range(5):
        beat = await guarded.status("PUT", "/api/v1/workers/w/heartbeat", {"jobs": []}, key=made["key"])
        assert (beat, await guarded.status("GET", "/health", key=made["key"])) == (200, 200)
    assert await statuses(guarded, 2, made["key"]) == [200, 429]


async def test_a_key_opens_so_many_streams_and_no_more(guarded: Guarded):
    made = await guarded.a_key("role_developer")
    await guarded.request("PUT", f"/api/v1/limits/key:{made['id']}", {"connections": 1})

    async def begun() -> AsyncGenerator[Any, None]:
        """A watch that has begun. Raises LimitReached."""
        credentials = Credentials(authorization=f"Bearer {made['key']}")
        call = await guarded.dispatch.authenticate(
            credentials, "config:read", run_id="", runtime="", is_there=lambda: True
        )
        stream = guarded.dispatch.stream(config.watch_config, call, config.WatchConfig(name="limits"))
        await anext(stream)
        return stream

    first = await begun()
    with pytest.raises(LimitReached, match="its limit"):
        await begun()
    await first.aclose()
    await (await begun()).aclose()


async def test_limits_are_for_keys_of_all_environments(guarded: Guarded):
    await guarded.an_environment("staging")
    key = (await guarded.a_key("role_admin", env="staging"))["key"]
    assert await guarded.status("GET", "/api/v1/limits", key=key) == 403
    assert await guarded.status("PUT", "/api/v1/limits/env:staging", {"requests_per_second": 9}, key=key) == 403
    assert await guarded.status("PUT", "/api/v1/limits/org:1", {"requests_per_second": 9}) == 400


async def test_a_limit_is_for_the_environment_that_has_the_name_now(guarded: Guarded):
    await guarded.an_environment("staging")
    await guarded.request("PUT", "/api/v1/environments/staging", {"name": "acceptance"})
    await guarded.an_environment("staging")
    for name in ("acceptance", "staging"):
        await guarded.request("PUT", f"/api/v1/limits/env:{name}", {"requests_per_second": 1})

    assert await statuses(guarded, 2, SEED, env="acceptance") == [200, 429]
    assert await statuses(guarded, 3, SEED, env="staging") == [200, 429, 429]
    await guarded.request("DELETE", "/api/v1/limits/env:acceptance")
    assert await statuses(guarded, 2, SEED, env="acceptance") == [200, 200]
    (shown,) = (await guarded.request("GET", "/api/v1/limits"))["limits"]
    assert (shown["subject"], shown["refused"]) == ("env:staging", 2)


async def test_a_freed_name_limits_no_other_environment(guarded: Guarded):
    await guarded.an_environment("staging")
    await guarded.request("PUT", "/api/v1/limits/env:staging", {"requests_per_second": 1})
    await guarded.request("POST", "/api/v1/events", {"name": "order.placed", "data": {}}, env="staging")
    await guarded.loop("usage")
    await guarded.request("PUT", "/api/v1/environments/staging", {"name": "acceptance"})

    assert await statuses(guarded, 3, SEED, env="acceptance") == [200, 200, 200]
    (shown,) = (await guarded.request("GET", "/api/v1/limits"))["limits"]
    assert (shown["subject"], shown["event_bytes_today"]) == ("env:staging", 0)


async def test_a_user_is_limited_in_all_its_sessions(guarded: Guarded):
    made = await a_user(guarded)
    await a_user(guarded, "bob@example.com")
    ada, again, bob = [await a_token(guarded, f"{name}@example.com") for name in ("ada", "ada", "bob")]
    await guarded.request("PUT", f"/api/v1/limits/user:{made['id']}", {"requests_per_second": 2})

    assert await statuses(guarded, 2, ada) + await statuses(guarded, 1, again) == [200, 200, 429]
    assert await statuses(guarded, 3, bob) == [200, 200, 200]
    await guarded.request("PUT", "/api/v1/limits/user:*", {"requests_per_second": 1})
    assert await statuses(guarded, 2, bob) == [200, 429]
