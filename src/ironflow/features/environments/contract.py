"""What can be asked of environments. Source of the shapes: protocol/rest.md 10, protocol/connectrpc.json."""

from datetime import datetime
from typing import Annotated

from ironflow.base.environment import InvalidEnvironment
from ironflow.base.errors import AlreadyExists, FailedPrecondition, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList
from ironflow.features.projects.contract import ProjectNotFound


class EnvironmentNotFound(NotFound):
    """There is no environment of that id or name."""

    code = "ENVIRONMENT_NOT_FOUND"


class EnvironmentExists(AlreadyExists):
    """There is an environment of that name already."""

    code = "ENVIRONMENT_EXISTS"


class EnvironmentFixed(FailedPrecondition):
    """The environment `default` is always there under this name."""

    code = "ENVIRONMENT_FIXED"


class EnvironmentNotEmpty(FailedPrecondition):
    """The environment still has events, runs, functions or API keys."""

    code = "ENVIRONMENT_NOT_EMPTY"


class Environment(Message, kw_only=True):
    id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    project_id: Annotated[str, field(only="rest")] = "proj_default"
    color: Annotated[str, field(only="rest")] = ""
    created_at: Annotated[datetime, field(4)]
    updated_at: Annotated[datetime, field(5)]


class CreateEnvironment(Message, kw_only=True):
    name: Annotated[str, field(1, min_length=1, max_length=128)]
    project_id: str = ""
    color: Annotated[str, field(None, max_length=40)] = ""


class NamedEnvironment(Message, kw_only=True):
    """id: or the name."""

    id: Annotated[str, field(1, min_length=1)]


class UpdateEnvironment(Message, kw_only=True):
    """What is absent stays."""

    id: Annotated[str, field(None, min_length=1)]
    name: Annotated[str, field(min_length=1, max_length=128)] | None = None
    project_id: str | None = None
    color: Annotated[str, field(max_length=40)] | None = None


class ListEnvironments(PagedList, kw_only=True):
    project_id: str = ""


class Environments(Message, kw_only=True):
    environments: Annotated[list[Environment], field(1)]
    next_cursor: Annotated[str, field(only="rest")] | None = None


class DeleteEnvironment(Message, kw_only=True):
    """id: or the name. with_data: also one that has data and API keys, which are deleted with it."""

    id: Annotated[str, field(1, min_length=1)]
    with_data: Annotated[bool, field(100)] = False


class EnvironmentDeleted(Message, kw_only=True):
    """status: `deleted`, or `deleting` while its data is being removed; `environment_deletions.get` shows how far."""

    id: Annotated[str | None, field(only="rest")] = None
    status: Annotated[str, field(only="rest")] = "deleted"
    success: Annotated[bool, field(1, only="rpc")] = True


_PATH = "/api/v1/environments"

create = operation(
    "environments.create", CreateEnvironment, Environment,
    rest=f"POST {_PATH}", rpc="EnvironmentService/CreateEnvironment", success=201, spelling="both",
    scope="environments:write", errors=(EnvironmentExists, InvalidEnvironment, ProjectNotFound),
    doc="Creates an environment.",
)  # fmt: skip
list_ = operation(
    "environments.list", ListEnvironments, Environments,
    rest=f"GET {_PATH}", rpc="EnvironmentService/ListEnvironments", spelling="both", scope="environments:read",
    alone=("environments", "paged"),
    doc="The environments, `default` first; for a key of one environment, that one.",
)  # fmt: skip
get = operation(
    "environments.get", NamedEnvironment, Environment,
    rest=f"GET {_PATH}/{{id}}", rpc="EnvironmentService/GetEnvironment", spelling="both", scope="environments:read",
    errors=(EnvironmentNotFound,),
    doc="One environment.",
)  # fmt: skip
update = operation(
    "environments.update", UpdateEnvironment, Environment,
    rest=f"PUT {_PATH}/{{id}}", spelling="both", scope="environments:write",
    errors=(EnvironmentNotFound, EnvironmentExists, EnvironmentFixed, InvalidEnvironment, ProjectNotFound),
    doc="Renames or recolours an environment. Its data and keys stay with it.",
)  # fmt: skip
delete = operation(
    "environments.delete", DeleteEnvironment, EnvironmentDeleted,
    rest=f"DELETE {_PATH}/{{id}}", rpc="EnvironmentService/DeleteEnvironment", spelling="both",
    scope="environments:write", errors=(EnvironmentNotFound, EnvironmentFixed, EnvironmentNotEmpty),
    doc="""Deletes an environment that has no data and no keys; or with them, which are revoked at once and removed in
    small transactions.""",
)  # fmt: skip
