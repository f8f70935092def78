"""What can be asked of policies. Source of the shapes: protocol/rest.md 10."""

from datetime import datetime
from typing import Annotated, Any

from ironflow.base.condition import InvalidCondition
from ironflow.base.errors import InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList


class PolicyNotFound(NotFound):
    """There is no policy of that id."""

    code = "POLICY_NOT_FOUND"


class InvalidPolicy(InvalidArgument):
    """A policy has a name, the effect allow or deny, and at least one action and one resource."""

    code = "INVALID_POLICY"


class PolicyVersionNotFound(NotFound):
    """The policy has no such version, or it is not kept any more."""

    code = "POLICY_VERSION_NOT_FOUND"


class TemplateNotFound(NotFound):
    """There is no template of that name. List them."""

    code = "POLICY_TEMPLATE_NOT_FOUND"


class Policy(Message, kw_only=True):
    """actions, resources: patterns, separated by commas. condition: CEL, empty for none. version: counts changes."""

    id: str
    org_id: str
    name: str
    effect: str
    actions: str
    resources: str
    condition: str = ""
    created_at: datetime
    updated_at: datetime
    version: int = 1
    changed_by: str = ""


class CreatePolicy(Message, kw_only=True):
    name: Annotated[str, field(min_length=1, max_length=200)]
    effect: str
    actions: str
    resources: str = "*"
    condition: str = ""
    org_id: str = ""


class NamedPolicy(Message, kw_only=True):
    id: Annotated[str, field(None, also=("policy_id",))]


class UpdatePolicy(Message, kw_only=True):
    """What is absent stays. condition: an empty text removes it."""

    id: Annotated[str, field(None, also=("policy_id",))]
    name: Annotated[str, field(min_length=1, max_length=200)] | None = None
    effect: str | None = None
    actions: str | None = None
    resources: str | None = None
    condition: str | None = None


class ListPolicies(PagedList, kw_only=True):
    org_id: str = ""


class Policies(Message, kw_only=True):
    policies: list[Policy]
    next_cursor: str | None = None


class TryPolicy(Message, kw_only=True):
    """A policy that need not exist: by its id, or by its condition alone."""

    policy_id: str = ""
    condition: str = ""
    request: dict[str, Any] = {}
    subject: dict[str, Any] = {}


class Tried(Message, kw_only=True):
    """holds: whether the condition is true. decided: false when it cannot be evaluated, as without a field it needs.

    effect: what the policy then does: `allow`, `deny` or `none`.
    """

    holds: bool
    decided: bool
    effect: str


class ListVersions(Message, kw_only=True):
    """before: only versions below it; 0 for the newest."""

    id: Annotated[str, field(None, also=("policy_id",))]
    before: Annotated[int, field(ge=0)] = 0
    limit: Annotated[int, field(ge=1, le=1000)] = 100


class PolicyVersion(Message, kw_only=True):
    """What the policy was since changed_at; `current` for what it is."""

    version: int
    current: bool
    name: str
    effect: str
    actions: str
    resources: str
    condition: str = ""
    changed_by: str = ""
    changed_at: datetime


class PolicyVersions(Message, kw_only=True):
    """Newest first; the current one and the 100 before it. next_before: where to go on; none at the end."""

    versions: list[PolicyVersion]
    next_before: int | None = None


class RollbackPolicy(Message, kw_only=True):
    id: Annotated[str, field(None, also=("policy_id",))]
    version: Annotated[int, field(ge=1)]


class ListTemplates(Message, kw_only=True):
    pass


class PolicyTemplate(Message, kw_only=True):
    name: str
    description: str
    effect: str
    actions: str
    resources: str
    condition: str = ""


class PolicyTemplates(Message, kw_only=True):
    templates: list[PolicyTemplate]


class InstallTemplate(Message, kw_only=True):
    """template: its name. name: of the policy, empty for the template's."""

    template: str
    name: Annotated[str, field(max_length=200)] = ""
    org_id: str = ""


_PATH = "/api/v1/policies"

create = operation(
    "policies.create", CreatePolicy, Policy,
    rest=f"POST {_PATH}", success=201, spelling="both", scope="policies:write",
    errors=(InvalidPolicy, InvalidCondition),
    doc="Creates a policy. It takes effect once a role has it.",
)  # fmt: skip
list_ = operation(
    "policies.list", ListPolicies, Policies,
    rest=f"GET {_PATH}", spelling="both", scope="policies:read", alone=("policies", "paged"),
    doc="The policies by id.",
)  # fmt: skip
get = operation(
    "policies.get", NamedPolicy, Policy,
    rest=f"GET {_PATH}/{{id}}", spelling="both", scope="policies:read", errors=(PolicyNotFound,),
    doc="One policy.",
)  # fmt: skip
update = operation(
    "policies.update", UpdatePolicy, Policy,
    rest=f"PATCH {_PATH}/{{id}}", spelling="both", scope="policies:write",
    errors=(PolicyNotFound, InvalidPolicy, InvalidCondition),
    doc="Changes a policy, for every key whose roles have it.",
)  # fmt: skip
delete = operation(
    "policies.delete", NamedPolicy, None,
    rest=f"DELETE {_PATH}/{{id}}", scope="policies:write", errors=(PolicyNotFound,),
    doc="Deletes a policy and takes it from every role.",
)  # fmt: skip
try_ = operation(
    "policies.try", TryPolicy, Tried,
    rest=f"POST {_PATH}/test", spelling="both", scope="policies:read", errors=(PolicyNotFound, InvalidCondition),
    doc="Evaluates a condition with given values.",
)  # fmt: skip
versions = operation(
    "policies.versions", ListVersions, PolicyVersions,
    rest=f"GET {_PATH}/{{id}}/versions", spelling="both", scope="policies:read", errors=(PolicyNotFound,),
    doc="What a policy is and was, newest first.",
)  # fmt: skip
rollback = operation(
    "policies.rollback", RollbackPolicy, Policy,
    rest=f"POST {_PATH}/{{id}}/rollback", spelling="both", scope="policies:write",
    errors=(PolicyNotFound, PolicyVersionNotFound, InvalidPolicy, InvalidCondition),
    doc="Makes a policy what it was at a version, as a new version.",
)  # fmt: skip
templates = operation(
    "policies.templates", ListTemplates, PolicyTemplates,
    rest="GET /api/v1/policy-templates", spelling="both", scope="policies:read",
    doc="Policies that are often needed, to be installed by name.",
)  # fmt: skip
install = operation(
    "policies.install_template", InstallTemplate, Policy,
    rest="POST /api/v1/policy-templates/{template}/install", success=201, spelling="both", scope="policies:write",
    errors=(TemplateNotFound,),
    doc="Creates a policy from a template. It takes effect once a role has it.",
)  # fmt: skip
