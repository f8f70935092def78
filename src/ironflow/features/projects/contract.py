"""What can be asked of projects. Source: protocol/rest.md 10."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import FailedPrecondition, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList
from ironflow.features.orgs.contract import OrgNotFound


class ProjectNotFound(NotFound):
    """There is no project of that id."""

    code = "PROJECT_NOT_FOUND"


class ProjectInUse(FailedPrecondition):
    """The project has environments, or is the one that is always there."""

    code = "PROJECT_IN_USE"


class Project(Message, kw_only=True):
    id: str
    name: str
    description: str
    org_id: str
    created_at: datetime
    updated_at: datetime


class CreateProject(Message, kw_only=True):
    """org_id: absent for `org_default`."""

    name: Annotated[str, field(min_length=1, max_length=200)]
    description: str = ""
    org_id: str = ""


class UpdateProject(Message, kw_only=True):
    """None leaves what is there."""

    id: str
    name: Annotated[str, field(min_length=1, max_length=200)] | None = None
    description: str | None = None


class NamedProject(Message, kw_only=True):
    id: str


class ListProjects(PagedList, kw_only=True):
    """org_id: only its projects."""

    org_id: str = ""


class Projects(Message, kw_only=True):
    projects: list[Project]
    next_cursor: str | None = None


class ProjectDeleted(Message, kw_only=True):
    """deleted: the project's id."""

    deleted: str


_PATH = "/api/v1/projects"

create = operation(
    "projects.create", CreateProject, Project,
    rest=f"POST {_PATH}", success=201, spelling="both", scope="projects:write", errors=(OrgNotFound,),
    doc="Creates a project.",
)  # fmt: skip
list_ = operation(
    "projects.list", ListProjects, Projects,
    rest=f"GET {_PATH}", spelling="both", scope="projects:read", alone=("projects", "paged"),
    doc="The projects by id.",
)  # fmt: skip
update = operation(
    "projects.update", UpdateProject, Project,
    rest=f"PUT {_PATH}/{{id}}", spelling="both", scope="projects:write", errors=(ProjectNotFound,),
    doc="Renames or describes a project.",
)  # fmt: skip
delete = operation(
    "projects.delete", NamedProject, ProjectDeleted,
    rest=f"DELETE {_PATH}/{{id}}", spelling="both", scope="projects:write", errors=(ProjectNotFound, ProjectInUse),
    doc="Deletes a project without environments.",
)  # fmt: skip
