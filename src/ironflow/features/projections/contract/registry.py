"""What a projection is: known, stopped for a while, forgotten."""

from typing import Annotated

from ironflow.base.errors import FailedPrecondition, InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation

GLOBAL = "__global__"
PATH = "/api/v1/projections/{name}"


class ProjectionNotFound(NotFound):
    """projection not found: there is none of that name in this environment, or it has no state yet."""

    code = "PROJECTION_NOT_FOUND"


class InvalidProjection(InvalidArgument):
    """The projection is not valid."""

    code = "INVALID_PROJECTION"


class WrongMode(FailedPrecondition):
    """Managed projections save states, external ones acknowledge events."""

    code = "WRONG_MODE"


class Named(Message, kw_only=True):
    name: Annotated[str, field(1)]


class StatusChanged(Message, kw_only=True):
    """status: of the projection afterwards, or `deleted`."""

    status: Annotated[str, field(1)]


class Register(Message, kw_only=True):
    """mode: `managed` or `external`. events: names and patterns. partition_key: a path, empty for one partition."""

    name: Annotated[str, field(1)]
    events: Annotated[list[str], field(2)] = []
    partition_key: Annotated[str, field(3)] = ""
    version: Annotated[int, field(4)] = 1
    mode: Annotated[str, field(5)] = "managed"
    change_reason: Annotated[str, field(6)] = ""


class Registered(Message, kw_only=True):
    """status: `registered` when it is new, else `updated`. last_event_seq: its cursor."""

    status: Annotated[str, field(1)]
    last_event_seq: Annotated[int, field(2, int64=True)]


register = operation(
    "projections.register", Register, Registered,
    rpc="ProjectionService/RegisterProjection", scope="projections:run", errors=(InvalidProjection,),
    doc="Registers a projection, or updates its definition; its cursor and states stay.",
)  # fmt: skip
pause = operation(
    "projections.pause", Named, StatusChanged,
    rest=f"POST {PATH}/pause", rpc="ProjectionService/PauseProjection", scope="projections:manage",
    errors=(ProjectionNotFound,),
    doc="Feeds no more events until the projection is resumed.",
)  # fmt: skip
resume = operation(
    "projections.resume", Named, StatusChanged,
    rest=f"POST {PATH}/resume", rpc="ProjectionService/ResumeProjection", scope="projections:manage",
    errors=(ProjectionNotFound,),
    doc="Feeds events again, and forgets an error.",
)  # fmt: skip
unregister = operation(
    "projections.unregister", Named, None,
    rpc="ProjectionService/UnregisterProjection", scope="projections:manage", errors=(ProjectionNotFound,),
    doc="Deletes a projection with its states and its cursor; as `delete`.",
)  # fmt: skip
delete = operation(
    "projections.delete", Named, StatusChanged,
    rest=f"DELETE {PATH}", scope="projections:manage", errors=(ProjectionNotFound,),
    doc="Deletes a projection with its states and its cursor.",
)  # fmt: skip
