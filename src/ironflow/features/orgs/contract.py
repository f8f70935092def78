"""What can be asked of organisations. Source: protocol/rest.md 10."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import FailedPrecondition, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList


class OrgNotFound(NotFound):
    """There is no organisation of that id."""

    code = "ORG_NOT_FOUND"


class OrgInUse(FailedPrecondition):
    """The organisation has projects, or is the one that is always there."""

    code = "ORG_IN_USE"


class Preferences(Message, kw_only=True):
    default_timezone: str = ""


class Org(Message, kw_only=True):
    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    preferences: Preferences | None = None


class CreateOrg(Message, kw_only=True):
    name: Annotated[str, field(min_length=1, max_length=200)]


class UpdateOrg(Message, kw_only=True):
    """None leaves what is there."""

    id: str
    name: Annotated[str, field(min_length=1, max_length=200)] | None = None
    preferences: Preferences | None = None


class NamedOrg(Message, kw_only=True):
    id: str


class ListOrgs(PagedList, kw_only=True):
    """No further fields."""


class Orgs(Message, kw_only=True):
    orgs: list[Org]
    next_cursor: str | None = None


_PATH = "/api/v1/orgs"

create = operation(
    "orgs.create", CreateOrg, Org,
    rest=f"POST {_PATH}", success=201, spelling="both", scope="orgs:write",
    doc="Creates an organisation.",
)  # fmt: skip
list_ = operation(
    "orgs.list", ListOrgs, Orgs,
    rest=f"GET {_PATH}", spelling="both", scope="orgs:read", alone=("orgs", "paged"),
    doc="The organisations by id, those that the server made in the order of their making.",
)  # fmt: skip
get = operation(
    "orgs.get", NamedOrg, Org,
    rest=f"GET {_PATH}/{{id}}", spelling="both", scope="orgs:read", errors=(OrgNotFound,),
    doc="One organisation.",
)  # fmt: skip
update = operation(
    "orgs.update", UpdateOrg, Org,
    rest=f"PATCH {_PATH}/{{id}}", spelling="both", scope="orgs:write", errors=(OrgNotFound,),
    doc="Renames an organisation, or changes its preferences.",
)  # fmt: skip
delete = operation(
    "orgs.delete", NamedOrg, None,
    rest=f"DELETE {_PATH}/{{id}}", scope="orgs:write", errors=(OrgNotFound, OrgInUse),
    doc="Deletes an organisation without projects.",
)  # fmt: skip
