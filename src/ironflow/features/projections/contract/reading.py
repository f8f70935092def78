"""What readers ask: states, what projections there are, where they stand."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import FailedPrecondition
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.projections.contract.registry import PATH, Named, ProjectionNotFound
from ironflow.features.projections.contract.running import GenerationReplaced, ProjectionEvent


class NotRecorded(FailedPrecondition):
    """The state of that moment was not recorded."""

    code = "STATE_NOT_RECORDED"


class GetProjection(Message, kw_only=True):
    """as_of: the state as it was then."""

    name: Annotated[str, field(1)]
    partition: Annotated[str, field(2)] = ""
    as_of: Annotated[datetime | None, field(3)] = None


class LoadProjection(GetProjection, kw_only=True):
    """Ours: generation: the version whose state a runner loads, as in Poll."""

    generation: str = ""


class ProjectionInfo(Message, kw_only=True):
    """A projection as it is registered. mode: managed or external.

    type: `sql` for one that the server keeps by itself, which is of mode managed; else `sdk`.
    """

    name: Annotated[str, field(1)]
    mode: Annotated[str, field(2)]
    status: Annotated[str, field(3)]
    events: Annotated[list[str], field(4)]
    partition_key: Annotated[str, field(5)] = ""
    version: Annotated[int, field(6)] = 1
    last_event_seq: Annotated[int, field(7, int64=True)] = 0
    created_at: Annotated[datetime, field(8)]
    updated_at: Annotated[datetime, field(9)]
    environment_id: Annotated[str, field(10)]
    error_message: Annotated[str, field(11)] = ""
    type: Annotated[str, field(12)] = "sdk"
    description: Annotated[str, field(15)] = ""
    rebuild_target_seq: Annotated[int | None, field(16, int64=True)] = None
    rebuild_start_cursor: Annotated[int | None, field(17, int64=True)] = None
    rebuild_started_at: Annotated[datetime | None, field(18)] = None
    version_full: Annotated[int, field(19, int64=True)] = 1


class Projection(Message, kw_only=True):
    """The state of one partition. version: how often it was saved. registry: the projection that it belongs to."""

    name: Annotated[str, field(1)]
    partition: Annotated[str, field(2)]
    state: Annotated[Json | None, field(3, twin=8)] = None
    last_event_id: Annotated[str, field(4)] = ""
    last_event_time: Annotated[datetime | None, field(5)] = None
    version: Annotated[int, field(6, int64=True)] = 0
    mode: Annotated[str, field(7)]
    registry: Annotated[ProjectionInfo | None, field(9)] = None
    state_last_event_seq: Annotated[int, field(10, int64=True)] = 0
    state_updated_at: Annotated[datetime | None, field(11)] = None
    state_environment_id: Annotated[str, field(12)] = ""


class StateRow(Message, kw_only=True):
    """A stored state. version: how often this partition was saved."""

    projection_name: str
    environment_id: str
    partition_key: str
    state: Json
    last_event_id: str
    last_event_seq: int
    last_event_time: datetime
    version: int
    updated_at: datetime


class AsOf(Message, kw_only=True):
    """How the state that is answered relates to the moment that was asked for.

    exact: it has folded every event up to the moment, and none after it; else it is the last one that was kept before,
    and `missing` states why it may lack events. last_event_seq, last_event_time: the last event that it has folded.
    """

    moment: datetime
    exact: bool
    last_event_seq: int
    last_event_time: datetime | None = None
    missing: str | None = None


class Envelope(Message, kw_only=True):
    """A projection with the state of one partition; without `state` before the first save.

    type: `sql` for one that the server keeps by itself, absent for others. as_of: for a request with `as_of`.
    """

    name: str
    version: int
    mode: str
    type: str | None = None
    status: str
    last_event_seq: int
    updated_at: datetime
    error_message: str | None = None
    state: StateRow | None = None
    as_of: AsOf | None = None


class ListProjections(Message, kw_only=True):
    """mode: managed or external, or `sql` for those of SQL alone. limit: 0 for 100."""

    status: Annotated[str, field(1)] = ""
    mode: Annotated[str, field(2)] = ""
    limit: Annotated[int, field(3, ge=0, le=10_000)] = 0
    offset: Annotated[int, field(4, ge=0)] = 0


class Projections(Message, kw_only=True):
    projections: Annotated[list[ProjectionInfo], field(1)]
    total_count: Annotated[int, field(2)]


class ListStatuses(Message, kw_only=True):
    """cursor: the last name of the page before. environment: stated by a header, or empty."""

    limit: Annotated[int, field(ge=1, le=10_000)] = 10_000
    cursor: str = ""
    environment: str = ""


class Status(Message, kw_only=True):
    """status: active, rebuilding, paused or error. lag: its events after the cursor, or more when it is far behind.

    rebuild_…: of the rebuild under way. mode, type: as in ProjectionInfo. without_key (ours): its events up to the
    cursor that lack the partition key; they are in the partition `__global__`.
    """

    name: Annotated[str, field(1)]
    status: Annotated[str, field(2)]
    mode: Annotated[str, field(3)]
    last_event_seq: Annotated[int, field(4, int64=True)]
    lag: Annotated[int, field(5, int64=True)]
    error_message: Annotated[str | None, field(6)] = None
    updated_at: Annotated[datetime, field(7)]
    rebuild_target_seq: Annotated[int | None, field(8, int64=True)] = None
    rebuild_start_cursor: Annotated[int | None, field(9, int64=True)] = None
    rebuild_started_at: Annotated[datetime | None, field(10)] = None
    type: Annotated[str, field(only="rest")] = "sdk"
    without_key: Annotated[int, field(only="rest")] = 0


class Statuses(Message, kw_only=True):
    projections: list[Status]
    next_cursor: str | None = None


class ListPartitions(Message, kw_only=True):
    """q: what the partition's key begins with. cursor: the last key of the page before."""

    name: str
    limit: Annotated[int, field(ge=1, le=10_000)] = 1000
    q: str = ""
    cursor: str = ""


class Partitions(Message, kw_only=True):
    partitions: list[str]
    returned: int
    next_cursor: str | None = None


class ReadEvents(Message, kw_only=True):
    """after, until: positions in the log. partition: events of that one only."""

    name: str
    after: Annotated[int, field(ge=0)] = 0
    until: Annotated[int, field(ge=0)] | None = None
    partition: str = ""
    limit: Annotated[int, field(ge=1, le=1000)] = 100


class EventsRead(Message, kw_only=True):
    """searched: up to there no other event of the projection is in the log; go on after it."""

    events: list[ProjectionEvent]
    searched: int
    head: int


get = operation(
    "projections.get", LoadProjection, Projection,
    rpc="ProjectionService/GetProjection", scope="projections:read",
    errors=(ProjectionNotFound, NotRecorded, GenerationReplaced),
    doc="""The state that a runner goes on from: during a rebuild that of the version being built. With `as_of`, the
    state that readers saw last at that moment.""",
)  # fmt: skip
envelope = operation(
    "projections.envelope", GetProjection, Envelope,
    rest=f"GET {PATH}", scope="projections:read", errors=(ProjectionNotFound, NotRecorded),
    doc="""A projection and the state of one partition as readers see it. With `as_of`, the state of that moment, or the
    last one kept before it: `as_of.exact` of the answer states which.""",
)  # fmt: skip
list_ = operation(
    "projections.list", ListProjections, Projections,
    rpc="ProjectionService/ListProjections", scope="projections:read",
    doc="Projections by name.",
)  # fmt: skip
statuses = operation(
    "projections.statuses", ListStatuses, Statuses,
    rest="GET /api/v1/projections", spelling="both", scope="projections:read",
    headers={"x-ironflow-environment": "environment"}, alone=("projections", "environment"),
    doc="""Projections by name with their status: an object for who names an environment in a header, the bare list for
    who does not.""",
)  # fmt: skip
status = operation(
    "projections.status", Named, Status,
    rest=f"GET {PATH}/status", rpc="ProjectionService/GetProjectionStatus", spelling="both",
    scope="projections:read", errors=(ProjectionNotFound,),
    doc="Where a projection stands: cursor, lag, error, rebuild.",
)  # fmt: skip
partitions = operation(
    "projections.partitions", ListPartitions, Partitions,
    rest=f"GET {PATH}/partitions", scope="projections:read", errors=(ProjectionNotFound,),
    doc="The partitions that have a state, in order.",
)  # fmt: skip
events = operation(
    "projections.events", ReadEvents, EventsRead,
    rest=f"GET {PATH}/events", scope="projections:read", asks=("events:read",), errors=(ProjectionNotFound,),
    doc="The events that a projection is made of, wherever its cursor is.",
)  # fmt: skip
recorded = operation(
    "projections.recorded", GetProjection, StateRow,
    rest=f"GET {PATH}/recorded", scope="projections:read", errors=(ProjectionNotFound, NotRecorded),
    doc="The last state recorded at or before `as_of`: where a fold up to that moment can begin.",
)  # fmt: skip
