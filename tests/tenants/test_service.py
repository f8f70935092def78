"""Organisations, projects and tenants: what each answers, and what is kept from being deleted."""

from collections.abc import AsyncIterator

import pytest

from tests.support.keys import Guarded, open_guarded


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url) as opened:
        yield opened


async def test_an_organisation_is_created_changed_and_deleted(guarded: Guarded):
    made = await guarded.request("POST", "/api/v1/orgs", {"name": "acme"})
    changed = await guarded.request(
        "PATCH", f"/api/v1/orgs/{made['id']}", {"name": "Acme", "preferences": {"default_timezone": "Europe/Berlin"}}
    )
    assert (changed["name"], changed["createdAt"]) == ("Acme", made["created_at"])
    assert changed["preferences"]["default_timezone"] == "Europe/Berlin"
    assert await guarded.request("GET", f"/api/v1/orgs/{made['id']}") == changed
    assert [each["id"] for each in await guarded.request("GET", "/api/v1/orgs")] == [made["id"], "org_default"]
    assert await guarded.request("DELETE", f"/api/v1/orgs/{made['id']}") is None
    assert await guarded.status("GET", f"/api/v1/orgs/{made['id']}") == 404


async def test_what_is_in_use_or_always_there_is_not_deleted(guarded: Guarded):
    org = await guarded.request("POST", "/api/v1/orgs", {"name": "acme"})
    project = await guarded.request("POST", "/api/v1/projects", {"name": "shop", "org_id": org["id"]})
    body = {"name": "staging", "project_id": project["id"]}
    environment = await guarded.request("POST", "/api/v1/environments", body)

    for path in (
        f"/api/v1/orgs/{org['id']}",
        f"/api/v1/projects/{project['id']}",
        "/api/v1/orgs/org_default",
        "/api/v1/projects/proj_default",
    ):
        assert await guarded.status("DELETE", path) == 400, path
    await guarded.request("DELETE", f"/api/v1/environments/{environment['id']}")
    assert await guarded.request("DELETE", f"/api/v1/projects/{project['id']}") == {"deleted": project["id"]}
    await guarded.request("DELETE", f"/api/v1/orgs/{org['id']}")


async def test_a_project_is_listed_by_organisation_and_described(guarded: Guarded):
    org = await guarded.request("POST", "/api/v1/orgs", {"name": "acme"})
    project = await guarded.request("POST", "/api/v1/projects", {"name": "shop", "orgId": org["id"]})
    changed = await guarded.request("PUT", f"/api/v1/projects/{project['id']}", {"description": "sells"})
    assert (changed["name"], changed["description"], changed["org_id"]) == ("shop", "sells", org["id"])
    assert await guarded.request("GET", f"/api/v1/projects?org_id={org['id']}") == [changed]
    assert [each["id"] for each in await guarded.request("GET", "/api/v1/projects?org_id=org_default")] == [
        "proj_default"
    ]
    assert await guarded.status("POST", "/api/v1/projects", {"name": "x", "org_id": "org_none"}) == 404
    assert await guarded.status("POST", "/api/v1/environments", {"name": "x", "project_id": "proj_none"}) == 404


async def test_a_tenant_is_provisioned_with_a_key_of_its_environment_only(guarded: Guarded):
    made = await guarded.request("POST", "/api/v1/tenants/provision", {"name": "acme", "env": "acme-prod"})
    emitted = await guarded.request("POST", "/api/v1/events", {"name": "a.b", "data": 1}, key=made["key"])
    assert emitted["event_id"]
    assert (await guarded.request("GET", "/api/v1/events"))["count"] == 0
    assert (await guarded.request("GET", "/api/v1/events", env="acme-prod"))["count"] == 1
    for path in ("/api/v1/orgs", "/api/v1/projects", "/api/v1/tenants"):
        assert await guarded.status("GET", path, key=made["key"]) == 403
    tenants = {each["id"]: each for each in await guarded.request("GET", "/api/v1/tenants")}
    tenant = tenants[made["org_id"]]
    assert (tenant["name"], tenant["env_count"], tenant["keyCount"]) == ("acme", 1, 1)
    assert tenants["org_default"]["env_count"] == 1


async def test_a_tenant_whose_environment_exists_is_not_made_in_part(guarded: Guarded):
    await guarded.an_environment("acme")
    assert await guarded.status("POST", "/api/v1/tenants/provision", {"name": "acme"}) == 409
    assert [each["id"] for each in await guarded.request("GET", "/api/v1/orgs")] == ["org_default"]
    assert await guarded.status("POST", "/api/v1/tenants/provision", {"name": "no name for one!"}) == 400
