"""What the built-in roles allow. Source: behaviour.md 16, "Auth"; docs/guides/security.md, "Roles"."""

from collections.abc import Sequence
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.policies.in_tx import PolicyRow

ADMIN, DEVELOPER, VIEWER = "role_admin", "role_developer", "role_viewer"

# The scopes of each built-in role, as patterns of actions.
BUILT_IN: dict[str, str] = {
    ADMIN: "*",
    DEVELOPER: (
        "account:*, audit:read, config:*, entities:*, environments:read, events:emit, events:import, events:read, "
        "events:subscribe, functions:*, groups:*, kv:*, orgs:read, policies:read, projections:*, projects:read, "
        "roles:read, runs:cancel, runs:read, runs:write, schedules:*, schemas:*, secrets:read, server:*, sql:*, "
        "topics:*, webhooks:*, workers:*"
    ),
    VIEWER: (
        "account:*, config:read, entities:read, environments:read, events:read, events:subscribe, functions:read, "
        "groups:read, kv:read, orgs:read, projections:read, projects:read, runs:read, schedules:read, schemas:read, "
        "secrets:read, server:read, sql:query, topics:read, webhooks:read, workers:read"
    ),
}


class RoleRow(NamedTuple):
    id: str
    org_id: str
    name: str
    created_at: Millis


def gives_all(role_ids: Sequence[str]) -> bool:
    """Whether nothing is refused to who has these roles: admin is one, and none was added, whose policies may deny."""
    return ADMIN in role_ids and all(each in BUILT_IN for each in role_ids)


def built_in_roles(org_id: str) -> list[RoleRow]:
    """The built-in roles, by id."""
    return [RoleRow(role_id, org_id, role_id.removeprefix("role_"), 0) for role_id in sorted(BUILT_IN)]


def built_in_policy(role_id: str) -> PolicyRow:
    """What a built-in role allows, as a policy with the id of the role."""
    name = role_id.removeprefix("role_")
    return PolicyRow(role_id, "", name, "allow", BUILT_IN[role_id], "*", "", 0, 0)
