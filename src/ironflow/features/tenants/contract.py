"""What can be asked of tenants. Source: protocol/rest.md 10 and 15."""

from datetime import datetime
from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList
from ironflow.features.environments.contract import EnvironmentExists, InvalidEnvironment


class Tenant(Message, kw_only=True):
    """id: of its organisation. key_count: keys of its environments alone."""

    id: str
    name: str
    env_count: int
    key_count: int
    created_at: datetime


class ListTenants(PagedList, kw_only=True):
    """No further fields."""


class Tenants(Message, kw_only=True):
    tenants: list[Tenant]
    next_cursor: str | None = None


class ProvisionTenant(Message, kw_only=True):
    """env: the name of its first environment, empty for that of the tenant."""

    name: Annotated[str, field(min_length=1, max_length=200)]
    env: Annotated[str, field(None, also=("env_name", "environment"))] = ""


class Provisioned(Message, kw_only=True):
    """key: the plain text of an administrator's key of the environment, in this answer only."""

    org_id: str
    project_id: str
    environment_id: str
    environment: str
    api_key_id: str
    key: str


list_ = operation(
    "tenants.list", ListTenants, Tenants,
    rest="GET /api/v1/tenants", spelling="both", scope="orgs:read", alone=("tenants", "paged"),
    doc="The organisations with the number of their environments and keys.",
)  # fmt: skip
provision = operation(
    "tenants.provision", ProvisionTenant, Provisioned,
    rest="POST /api/v1/tenants/provision", success=201, spelling="both", scope="tenants:write",
    errors=(EnvironmentExists, InvalidEnvironment),
    doc="Creates an organisation, a project, an environment and an administrator's key of it, all or none.",
)  # fmt: skip
