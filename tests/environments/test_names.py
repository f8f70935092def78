"""Names of environments without authentication, where each is used by its name."""

from collections.abc import AsyncIterator

import pytest

from ironflow.features.environment_deletions import rules
from tests.support.server import open_server
from tests.support.work import Work

EMIT = {"name": "order.placed", "data": {}}


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, database_url) as opened:
        yield opened


async def asked(
    server: Work, method: str, path: str, body: object = None, env: str = ""
) -> tuple[int, dict[str, object]]:
    async with server.http() as client:
        headers = {"x-ironflow-environment": env} if env else {}
        answer = await client.request(method, path, json=body, headers=headers)
    return answer.status_code, answer.json()


async def test_a_name_that_is_free_after_a_rename_does_not_reach_the_renamed_rows(server: Work):
    await asked(server, "POST", "/api/v1/environments", {"name": "staging"})
    await asked(server, "POST", "/api/v1/events", EMIT, "staging")
    await asked(server, "PUT", "/api/v1/environments/staging", {"name": "acceptance"})

    status, refused = await asked(server, "GET", "/api/v1/events", env="staging")
    assert (status, refused["reason"]) == (404, "ENVIRONMENT_NOT_FOUND")
    assert (await asked(server, "POST", "/api/v1/events", EMIT, "staging"))[0] == 404
    assert (await asked(server, "GET", "/api/v1/events", env="acceptance"))[1]["count"] == 1

    await asked(server, "POST", "/api/v1/environments", {"name": "staging"})
    assert (await asked(server, "GET", "/api/v1/events", env="staging"))[1]["count"] == 0


async def test_the_name_of_a_deleted_environment_is_used_once_it_is_created_anew(server: Work):
    await asked(server, "POST", "/api/v1/environments", {"name": "staging"})
    await asked(server, "POST", "/api/v1/events", EMIT, "staging")
    await asked(server, "DELETE", "/api/v1/environments/staging?with_data=true")

    assert (await asked(server, "POST", "/api/v1/events", EMIT, "staging"))[0] == 404
    server.move(rules.SETTLED_MS)
    await asked(server, "POST", "/api/v1/environments", {"name": "staging"})
    assert (await asked(server, "GET", "/api/v1/events", env="staging"))[1]["count"] == 0


async def test_an_environment_that_was_not_created_is_used_by_its_name(server: Work):
    assert (await asked(server, "POST", "/api/v1/events", EMIT, "preview"))[0] == 200
    assert (await asked(server, "GET", "/api/v1/events", env="preview"))[1]["count"] == 1
    await asked(server, "POST", "/api/v1/environments", {"name": "preview"})
    assert (await asked(server, "GET", "/api/v1/events", env="preview"))[1]["count"] == 1


async def test_a_name_that_is_used_without_having_been_created_is_not_given_to_another(server: Work):
    await asked(server, "POST", "/api/v1/events", EMIT, "preview")
    await asked(server, "POST", "/api/v1/environments", {"name": "staging"})

    status, refused = await asked(server, "PUT", "/api/v1/environments/staging", {"name": "preview"})

    assert (status, refused["reason"]) == (409, "ENVIRONMENT_EXISTS")
    assert "is in use without having been created: it has events." in str(refused["message"])
    assert (await asked(server, "GET", "/api/v1/events", env="preview"))[1]["count"] == 1
    assert (await asked(server, "GET", "/api/v1/events", env="staging"))[1]["count"] == 0


async def test_a_name_that_only_workers_use_is_not_given_to_another(server: Work):
    """They would take the jobs of its runs."""
    await server.a_worker("w1", env="preview")
    await asked(server, "POST", "/api/v1/environments", {"name": "staging"})

    status, refused = await asked(server, "PUT", "/api/v1/environments/staging", {"name": "preview"})

    assert (status, refused["reason"]) == (409, "ENVIRONMENT_EXISTS")
    assert "it has workers." in str(refused["message"])


async def test_an_environment_gets_an_earlier_name_of_its_own_back(server: Work):
    await asked(server, "POST", "/api/v1/environments", {"name": "staging"})
    await asked(server, "POST", "/api/v1/events", EMIT, "staging")
    await asked(server, "PUT", "/api/v1/environments/staging", {"name": "acceptance"})

    assert (await asked(server, "PUT", "/api/v1/environments/acceptance", {"name": "staging"}))[0] == 200
    assert (await asked(server, "GET", "/api/v1/events", env="staging"))[1]["count"] == 1
