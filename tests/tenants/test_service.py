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


async def test_a_key_of_an_environment_belongs_to_the_organisation_that_the_environment_has_now(guarded: Guarded):
    """Also one that is known to the server already."""
    tenant = await guarded.request("POST", "/api/v1/tenants/provision", {"name": "acme"})
    condition = f'subject.org == "{tenant["org_id"]}"'
    deny = {"name": "no", "effect": "deny", "actions": "events:emit", "condition": condition}
    policy = await guarded.request("POST", "/api/v1/policies", deny)
    role = await guarded.request("POST", "/api/v1/roles", {"name": "walled"})
    await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": policy["id"]})
    environment = await guarded.an_environment("wandering")
    made = await guarded.a_key("role_developer", role["id"], env="wandering")
    event = {"name": "a.b", "data": 1}
    asked = {"action": "events:emit", "subject": made["id"]}

    async def allowed() -> tuple[bool, bool]:
        status = await guarded.status("POST", "/api/v1/events", event, key=made["key"])
        return status != 403, (await guarded.request("POST", "/api/v1/authz/explain", asked))["allowed"]

    assert await allowed() == (True, True)
    path = f"/api/v1/environments/{environment['id']}"
    for project_id, expected in ((tenant["project_id"], False), ("proj_default", True)):
        await guarded.request("PUT", path, {"project_id": project_id})
        assert await allowed() == (expected, expected)
        listed = {each["id"]: each for each in await guarded.request("GET", "/api/v1/apikeys")}
        shown = [listed[made["id"]], await guarded.request("GET", f"/api/v1/apikeys/{made['id']}")]
        org_id = "org_default" if expected else tenant["org_id"]
        assert [each["org_id"] for each in shown] == [org_id] * 2


async def test_a_tenant_sees_the_roles_and_policies_of_its_organisation_and_the_shared_ones(guarded: Guarded):
    tenants = {
        name: await guarded.request("POST", "/api/v1/tenants/provision", {"name": name, "env": f"{name}-prod"})
        for name in ("acme", "globex")
    }
    made: dict[str, tuple[str, str]] = {}
    for name, org in (("shared", {}), ("globex", {"org_id": tenants["globex"]["org_id"]})):
        policy = {"name": f"policy-{name}", "effect": "allow", "actions": "*", **org}
        policy_id = (await guarded.request("POST", "/api/v1/policies", policy))["id"]
        role_id = (await guarded.request("POST", "/api/v1/roles", {"name": f"role-{name}", **org}))["id"]
        await guarded.request("POST", f"/api/v1/roles/{role_id}/policies", {"policy_id": policy_id})
        made[name] = (role_id, policy_id)

    for name, seen in (("acme", {"shared"}), ("globex", {"shared", "globex"})):
        key = tenants[name]["key"]
        for path, place in (("roles", 0), ("policies", 1)):
            found = {each["id"] for each in await guarded.request("GET", f"/api/v1/{path}", key=key)}
            assert {owner for owner, ids in made.items() if ids[place] in found} == seen
            for owner, ids in made.items():
                status = 200 if owner in seen else 404
                assert await guarded.status("GET", f"/api/v1/{path}/{ids[place]}", key=key) == status
        status = 201 if "globex" in seen else 404
        body = {"name": "k", "role_ids": [made["globex"][0]]}
        assert await guarded.status("POST", "/api/v1/apikeys", body, key=key) == status
        asked = {"action": "events:emit", "roles": [made["globex"][0]]}
        assert await guarded.status("POST", "/api/v1/authz/explain", asked, key=key) == (200 if status == 201 else 404)
        tried = {"policy_id": made["globex"][1]}
        assert await guarded.status("POST", "/api/v1/policies/test", tried, key=key) == (200 if status == 201 else 404)
        versions = f"/api/v1/policies/{made['globex'][1]}/versions"
        assert await guarded.status("GET", versions, key=key) == (200 if status == 201 else 404)


async def test_a_key_belongs_to_the_organisation_of_its_environment(guarded: Guarded):
    """A rule about an organisation holds for the keys that its tenant makes, too."""
    tenant = await guarded.request("POST", "/api/v1/tenants/provision", {"name": "acme", "env": "acme-prod"})
    denied = {"name": "no", "effect": "deny", "actions": "emit:*", "condition": f'subject.org == "{tenant["org_id"]}"'}
    everything = {"name": "all", "effect": "allow", "actions": "*"}
    role = (await guarded.request("POST", "/api/v1/roles", {"name": "limited"}))["id"]
    for policy in (denied, everything):
        policy_id = (await guarded.request("POST", "/api/v1/policies", policy))["id"]
        await guarded.request("POST", f"/api/v1/roles/{role}/policies", {"policy_id": policy_id})

    first = await guarded.a_key(role, env="acme-prod")
    second = await guarded.a_key(role, by=tenant["key"])
    third = await guarded.a_key(role, by=second["key"])
    elsewhere = await guarded.a_key(role)

    assert [each["org_id"] for each in (first, second, third)] == [tenant["org_id"]] * 3
    event = {"name": "order.placed", "data": {}}
    for key, status in ((first, 403), (second, 403), (third, 403), (elsewhere, 200)):
        assert await guarded.status("POST", "/api/v1/events", event, key=key["key"]) == status
