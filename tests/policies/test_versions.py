"""Each change of a policy is a version, to which it can return; templates are policies that are often needed."""

from typing import Any

from ironflow.features.policies.rules import check_policy
from ironflow.features.policies.service import VERSIONS_KEPT
from ironflow.features.policies.templates import TEMPLATES
from tests.policies.test_service import EMIT, a_role
from tests.support.keys import Guarded

PATH = "/api/v1/policies"


async def a_policy(guarded: Guarded, **fields: Any) -> dict[str, Any]:
    wanted = {"name": "p", "effect": "allow", "actions": "events:emit", **fields}
    return await guarded.request("POST", PATH, wanted)


async def versions(guarded: Guarded, policy_id: str) -> list[tuple[int, bool, str]]:
    found = await guarded.request("GET", f"{PATH}/{policy_id}/versions")
    return [(each["version"], each["current"], each["actions"]) for each in found["versions"]]


async def test_a_policy_is_rolled_back_as_a_new_version_that_holds_at_once(guarded: Guarded):
    role = await a_role(guarded, {"effect": "allow", "actions": "events:emit"})
    key = (await guarded.a_key(role))["key"]
    (policy,) = await guarded.request("GET", PATH)
    await guarded.request("PATCH", f"{PATH}/{policy['id']}", {"actions": "events:read"})
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 403

    answer = await guarded.request("POST", f"{PATH}/{policy['id']}/rollback", {"version": 1})

    assert (answer["version"], answer["actions"]) == (3, "events:emit")
    assert await guarded.status("POST", "/api/v1/events", EMIT, key=key) == 200
    assert await versions(guarded, policy["id"]) == [
        (3, True, "events:emit"),
        (2, False, "events:read"),
        (1, False, "events:emit"),
    ]


async def test_a_version_that_is_not_there_is_refused_and_the_current_one_changes_nothing(guarded: Guarded):
    policy = await a_policy(guarded)

    assert await guarded.status("POST", f"{PATH}/{policy['id']}/rollback", {"version": 2}) == 404
    assert (await guarded.request("POST", f"{PATH}/{policy['id']}/rollback", {"version": 1}))["version"] == 1
    assert await versions(guarded, policy["id"]) == [(1, True, "events:emit")]


async def test_the_newest_versions_are_kept_and_listed_in_pages(guarded: Guarded):
    policy = await a_policy(guarded)
    for number in range(VERSIONS_KEPT + 5):
        await guarded.request("PATCH", f"{PATH}/{policy['id']}", {"name": f"p{number}"})

    found: list[int] = []
    before = 0
    while before is not None:
        page = await guarded.request("GET", f"{PATH}/{policy['id']}/versions?limit=30&before={before}")
        found += [each["version"] for each in page["versions"]]
        before = page.get("next_before")

    newest = VERSIONS_KEPT + 6
    assert found == list(range(newest, newest - VERSIONS_KEPT - 1, -1))


async def test_a_deleted_policy_has_no_versions(guarded: Guarded):
    policy = await a_policy(guarded)
    await guarded.request("PATCH", f"{PATH}/{policy['id']}", {"name": "q"})
    await guarded.status("DELETE", f"{PATH}/{policy['id']}")

    assert await guarded.status("GET", f"{PATH}/{policy['id']}/versions") == 404


async def test_every_template_is_a_valid_policy_and_installs_as_one(guarded: Guarded):
    listed = await guarded.request("GET", "/api/v1/policy-templates")
    assert [each["name"] for each in listed["templates"]] == [each.name for each in TEMPLATES]
    for each in TEMPLATES:
        check_policy(each.effect, each.actions, each.resources, each.condition)

        made = await guarded.request("POST", f"/api/v1/policy-templates/{each.name}/install", {"name": "mine"})

        assert (made["name"], made["effect"], made["actions"]) == ("mine", each.effect, each.actions)
    assert await guarded.status("POST", "/api/v1/policy-templates/none/install", {}) == 404
