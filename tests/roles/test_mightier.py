"""Roles and policies are changed by unlimited callers: a change is one for every key and user with the role."""

from typing import Any

import pytest

from tests.policies.test_service import a_role
from tests.support.keys import Guarded


async def places(guarded: Guarded) -> dict[str, Any]:
    """A role that is mightier than the caller's, its policy, and another policy."""
    role = await a_role(guarded, {"effect": "allow", "actions": "*"})
    (policy,) = (await guarded.request("GET", f"/api/v1/roles/{role}"))["policies"]
    other = await guarded.request(
        "POST", "/api/v1/policies", {"name": "o", "effect": "allow", "actions": "runs:*", "resources": "*"}
    )
    await guarded.request("PATCH", f"/api/v1/policies/{other['id']}", {"name": "other"})
    return {"role": role, "policy": policy, "other": other["id"]}


CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "/api/v1/policies/{policy}", {"effect": "deny"}),
    ("POST", "/api/v1/policies/{other}/rollback", {"version": 1}),
    ("DELETE", "/api/v1/policies/{policy}", None),
    ("PATCH", "/api/v1/roles/{role}", {"name": "renamed"}),
    ("POST", "/api/v1/roles/{role}/policies", {"policy_id": "{other}"}),
    ("DELETE", "/api/v1/roles/{role}/policies/{policy}", None),
    ("DELETE", "/api/v1/roles/{role}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=lambda each: each if isinstance(each, str) else "")
@pytest.mark.parametrize(
    "own",
    [
        [{"effect": "allow", "actions": "roles:*, policies:*"}],
        [{"effect": "allow", "actions": "*"}, {"effect": "deny", "actions": "secrets:*"}],
        [{"effect": "allow", "actions": "*", "resources": "roles, policies"}],
        [{"effect": "allow", "actions": "*", "condition": 'request.environment == "default"'}],
    ],
    ids=["these only", "a denial", "some resources", "a condition"],
)
async def test_a_limited_caller_changes_no_role_and_no_policy(
    guarded: Guarded, method: str, path: str, body: Any, own: list[dict[str, Any]]
):
    named = await places(guarded)
    key = (await guarded.a_key(await a_role(guarded, *own)))["key"]
    body = {name: value.format(**named) if isinstance(value, str) else value for name, value in (body or {}).items()}

    assert await guarded.status(method, path.format(**named), body, key=key) == 403
    assert (await guarded.request("GET", f"/api/v1/roles/{named['role']}"))["policies"] == [named["policy"]]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=lambda each: each if isinstance(each, str) else "")
async def test_an_unlimited_caller_changes_them(guarded: Guarded, method: str, path: str, body: Any):
    named = await places(guarded)
    key = (await guarded.a_key(await a_role(guarded, {"effect": "allow", "actions": "*"})))["key"]
    body = {name: value.format(**named) if isinstance(value, str) else value for name, value in (body or {}).items()}

    assert await guarded.status(method, path.format(**named), body, key=key) < 300
