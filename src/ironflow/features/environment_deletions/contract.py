"""What can be asked of deletions of environments."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList


class DeletionNotFound(NotFound):
    """There is no deletion of an environment of that id."""

    code = "ENVIRONMENT_DELETION_NOT_FOUND"


class Deletion(Message, kw_only=True):
    """id, name: those of the environment. status: `deleting` or `deleted`. table: whose rows are removed now.

    rows_removed: so far, of all tables.
    """

    id: str
    name: str
    status: str
    table: str = ""
    rows_removed: int
    started_by: str = ""
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None


class NamedDeletion(Message, kw_only=True):
    """id: of the environment."""

    id: Annotated[str, field(None, also=("environment_id",))]


class ListDeletions(PagedList, kw_only=True):
    """Asks for a page of the deletions."""


class Deletions(Message, kw_only=True):
    deletions: list[Deletion]
    next_cursor: str | None = None


_PATH = "/api/v1/environment-deletions"

get = operation(
    "environment_deletions.get", NamedDeletion, Deletion,
    rest=f"GET {_PATH}/{{id}}", spelling="both", scope="environments:read", errors=(DeletionNotFound,),
    doc="How far the deletion of an environment is.",
)  # fmt: skip
list_ = operation(
    "environment_deletions.list", ListDeletions, Deletions,
    rest=f"GET {_PATH}", spelling="both", scope="environments:read",
    doc="The deletions of environments by id, those that have ended too.",
)  # fmt: skip
