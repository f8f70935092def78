"""How a projection is built anew."""

from datetime import datetime, timedelta
from typing import Annotated, Self

import msgspec

from ironflow.base.errors import (
    AlreadyExists,
    NotFound,
)
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.features.events.contract import EventNotFound
from ironflow.features.projections.contract.registry import (
    PATH,
    InvalidProjection,
    Named,
    ProjectionNotFound,
    StatusChanged,
)


class RebuildNotFound(NotFound):
    """This projection was never rebuilt."""

    code = "REBUILD_NOT_FOUND"


class RebuildUnderWay(AlreadyExists):
    """The projection is being rebuilt already. Wait for it, or cancel it."""

    code = "REBUILD_UNDER_WAY"


class Rebuild(Message, kw_only=True):
    """partition: that one only. from_event_id, to_event_id: the first and the last event to fold, both included.

    dry_run: only counts the events.
    """

    name: Annotated[str, field(1)]
    partition: Annotated[str, field(2)] = ""
    from_event_id: Annotated[str, field(3)] = ""
    dry_run: Annotated[bool, field(4)] = False
    to_event_id: Annotated[str, field(5)] = ""


# The status of a rebuild that has not ended; servers of other releases send the second one.
REBUILD_RUNS = ("running", "rebuilding")


class RebuildJob(Message, kw_only=True):
    """status: running (REST: rebuilding), completed, cancelled or dry_run_ok. progress: 0 to 1.

    total_events: those to look at.
    """

    job_id: Annotated[str, field(1)]
    projection_name: Annotated[str, field(2)]
    status: Annotated[str, field(3)]
    events_processed: Annotated[int, field(4, int64=True)] = 0
    total_events: Annotated[int, field(5, int64=True)] = 0
    progress: Annotated[float, field(6)] = 0.0
    started_at: Annotated[datetime, field(7)]
    estimated_remaining: Annotated[timedelta | None, field(8)] = None
    error: Annotated[str, field(9)] = ""
    from_event_id: Annotated[str, field(10)] = ""
    to_event_id: Annotated[str, field(11)] = ""
    partition: Annotated[str, field(12)] = ""
    dry_run: Annotated[bool, field(13)] = False


class RebuildAnswer(Message, kw_only=True):
    job: Annotated[RebuildJob, field(1)]


class RebuildShown(RebuildJob, kw_only=True):
    """A rebuild as REST shows it: the job with the projection's name as `name` too."""

    name: str

    @classmethod
    def of(cls, job: RebuildJob) -> Self:
        if job.status == "running":
            job = msgspec.structs.replace(job, status="rebuilding")
        return cls(name=job.projection_name, **msgspec.structs.asdict(job))


rebuild = operation(
    "projections.rebuild", Rebuild, RebuildAnswer,
    rpc="ProjectionService/RebuildProjection", scope="projections:manage",
    errors=(ProjectionNotFound, EventNotFound, RebuildUnderWay, InvalidProjection),
    doc="Builds the projection anew beside the old version, which readers see until the new one has caught up.",
)  # fmt: skip
start_rebuild = operation(
    "projections.start_rebuild", Rebuild, RebuildShown,
    rest=f"POST {PATH}/rebuild", spelling="both", scope="projections:manage", errors=rebuild.errors,
    doc="As `rebuild`.",
)  # fmt: skip
rebuild_job = operation(
    "projections.rebuild_job", Named, RebuildAnswer,
    rpc="ProjectionService/GetRebuildJob", scope="projections:read", errors=(ProjectionNotFound, RebuildNotFound),
    doc="The last rebuild of a projection.",
)  # fmt: skip
get_rebuild = operation(
    "projections.get_rebuild", Named, RebuildShown,
    rest=f"GET {PATH}/rebuild", spelling="both", scope="projections:read",
    errors=(ProjectionNotFound, RebuildNotFound),
    doc="As `rebuild_job`.",
)  # fmt: skip
cancel_rebuild = operation(
    "projections.cancel_rebuild", Named, StatusChanged,
    rest=f"POST {PATH}/cancel", rpc="ProjectionService/CancelRebuild", scope="projections:manage",
    errors=(ProjectionNotFound, RebuildNotFound),
    doc="Drops the version being built; the projection goes on from where it was.",
)  # fmt: skip
