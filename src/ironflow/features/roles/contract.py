"""What can be asked of roles. Source of the shapes: protocol/rest.md 10."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import FailedPrecondition, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList
from ironflow.features.policies.contract import PolicyNotFound


class RoleNotFound(NotFound):
    """There is no role of that id."""

    code = "ROLE_NOT_FOUND"


class BuiltInRole(FailedPrecondition):
    """A built-in role cannot be changed. Make one of your own with the policies that you need."""

    code = "ROLE_BUILT_IN"


class RoleInUse(FailedPrecondition):
    """API keys have this role. Give them others first."""

    code = "ROLE_IN_USE"


class Role(Message, kw_only=True):
    """is_default: built in. policies: the ids of its policies; a built-in role has none, its scopes are fixed."""

    id: str
    org_id: str
    name: str
    is_default: bool
    created_at: datetime
    api_key_count: int = 0
    policies: Annotated[list[str], field(None, also=("policy_ids",))] = []


class CreateRole(Message, kw_only=True):
    name: Annotated[str, field(min_length=1, max_length=200)]
    org_id: str = ""


class NamedRole(Message, kw_only=True):
    id: Annotated[str, field(None, also=("role_id",))]


class RenameRole(Message, kw_only=True):
    id: Annotated[str, field(None, also=("role_id",))]
    name: Annotated[str, field(min_length=1, max_length=200)]


class ListRoles(PagedList, kw_only=True):
    org_id: str = ""


class Roles(Message, kw_only=True):
    roles: list[Role]
    next_cursor: str | None = None


class RolePolicy(Message, kw_only=True):
    id: Annotated[str, field(None, also=("role_id",))]
    policy_id: str


_PATH = "/api/v1/roles"

create = operation(
    "roles.create", CreateRole, Role,
    rest=f"POST {_PATH}", success=201, spelling="both", scope="roles:write",
    doc="Creates a role without policies, which allows nothing.",
)  # fmt: skip
list_ = operation(
    "roles.list", ListRoles, Roles,
    rest=f"GET {_PATH}", spelling="both", scope="roles:read", alone=("roles", "paged"),
    doc="The roles, the built-in ones first.",
)  # fmt: skip
get = operation(
    "roles.get", NamedRole, Role,
    rest=f"GET {_PATH}/{{id}}", spelling="both", scope="roles:read", errors=(RoleNotFound,),
    doc="One role with its policies.",
)  # fmt: skip
rename = operation(
    "roles.rename", RenameRole, Role,
    rest=f"PATCH {_PATH}/{{id}}", spelling="both", scope="roles:write", errors=(RoleNotFound, BuiltInRole),
    doc="Renames a role.",
)  # fmt: skip
delete = operation(
    "roles.delete", NamedRole, None,
    rest=f"DELETE {_PATH}/{{id}}", scope="roles:write", errors=(RoleNotFound, BuiltInRole, RoleInUse),
    doc="Deletes a role that no key has.",
)  # fmt: skip
assign_policy = operation(
    "roles.assign_policy", RolePolicy, None,
    rest=f"POST {_PATH}/{{id}}/policies", scope="roles:write", errors=(RoleNotFound, BuiltInRole, PolicyNotFound),
    doc="Gives a role a policy. Giving it twice is no error.",
)  # fmt: skip
remove_policy = operation(
    "roles.remove_policy", RolePolicy, None,
    rest=f"DELETE {_PATH}/{{id}}/policies/{{policy_id}}", scope="roles:write", errors=(RoleNotFound, BuiltInRole),
    doc="Takes a policy from a role. Taking one that it does not have is no error.",
)  # fmt: skip
