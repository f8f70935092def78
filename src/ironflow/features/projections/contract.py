"""What can be asked of projections. Source: protocol/projections.md, connectrpc.md 5.5, rest.md 12."""

from datetime import datetime, timedelta
from typing import Annotated

from ironflow.base.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PayloadTooLarge,
    ResourceExhausted,
)
from ironflow.base.fields import Message, WireEnum, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.events.contract import EventNotFound

GLOBAL = "__global__"


class ProjectionNotFound(NotFound):
    """projection not found: there is none of that name in this environment, or it has no state yet."""

    code = "PROJECTION_NOT_FOUND"


class RebuildNotFound(NotFound):
    """This projection was never rebuilt."""

    code = "REBUILD_NOT_FOUND"


class InvalidProjection(InvalidArgument):
    """The projection is not valid."""

    code = "INVALID_PROJECTION"


class InvalidSave(InvalidArgument):
    """The save names a place in the log that does not exist."""

    code = "INVALID_SAVE"


class StateTooLarge(PayloadTooLarge):
    """The state is larger than this server keeps. Partition the projection, or keep less in its state."""

    code = "STATE_TOO_LARGE"


class WrongMode(FailedPrecondition):
    """Managed projections save states, external ones acknowledge events."""

    code = "WRONG_MODE"


class NotRecorded(FailedPrecondition):
    """The state of that moment was not recorded."""

    code = "STATE_NOT_RECORDED"


class NotWaitable(FailedPrecondition):
    """The projection cannot be waited for as it is now."""

    code, status = "PROJECTION_NOT_WAITABLE", 409


class RebuildUnderWay(AlreadyExists):
    """The projection is being rebuilt already. Wait for it, or cancel it."""

    code = "REBUILD_UNDER_WAY"


class LeaseLost(Aborted):
    """projection lease lost: another runner has it, or the projection is built anew. Acquire it again."""

    code = "PROJECTION_LEASE_LOST"


class StaleSave(Aborted):
    """The events of this save were not fed to the version of the projection that is built now. Load it again."""

    code = "STALE_SAVE"


class WaitsFull(ResourceExhausted):
    """Too many callers wait for projections at this moment. Try again a little later."""

    code, retryable = "PROJECTION_WAITS_FULL", True


class EventKind(WireEnum):
    EVENT = "event"
    HEARTBEAT = "heartbeat"

    @classmethod
    def prefix(cls) -> str:
        return "PROJECTION_EVENT_KIND_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"event": 1, "heartbeat": 2}


class FrameKind(WireEnum):
    PROGRESS = "progress"
    HEARTBEAT = "heartbeat"
    DONE = "done"

    @classmethod
    def prefix(cls) -> str:
        return "WAIT_STREAM_FRAME_KIND_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"progress": 1, "heartbeat": 2, "done": 3}


class Nothing(Message, kw_only=True):
    """An answer without fields."""


class Named(Message, kw_only=True):
    name: Annotated[str, field(1)]


class Said(Message, kw_only=True):
    """status: of the projection afterwards, or `deleted`."""

    status: Annotated[str, field(1)]


# Runners.


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


class Lease(Message, kw_only=True):
    token: Annotated[str, field(1)]
    epoch: Annotated[int, field(2, int64=True)]


class Acquired(Message, kw_only=True):
    """granted: false while another runner holds the lease."""

    granted: Annotated[bool, field(1)]
    lease: Annotated[Lease | None, field(2)] = None
    ttl: Annotated[timedelta | None, field(3)] = None


class HeldLease(Message, kw_only=True):
    name: Annotated[str, field(1)]
    lease: Annotated[Lease | None, field(2)] = None


class Renewed(Message, kw_only=True):
    ttl: Annotated[timedelta, field(1)]


class Poll(Message, kw_only=True):
    """batch_size: 0 for 100. partition: events of that one only."""

    name: Annotated[str, field(1)]
    batch_size: Annotated[int, field(2, ge=0)] = 0
    partition: Annotated[str, field(3)] = ""
    lease: Annotated[Lease | None, field(4)] = None


class ProjectionEvent(Message, kw_only=True):
    """An event as runners get it; its partition is in the metadata as `__partition`. A heartbeat has only its kind.

    version, entity_...: ours, in JSON only.
    """

    id: Annotated[str | None, field(1)] = None
    name: Annotated[str | None, field(2)] = None
    data: Annotated[Json | None, field(3, twin=9)] = None
    seq: Annotated[int | None, field(4, int64=True)] = None
    timestamp: Annotated[datetime | None, field(5)] = None
    source: Annotated[str | None, field(6)] = None
    metadata: Annotated[Json | None, field(7)] = None
    kind: Annotated[EventKind, field(8)] = EventKind.EVENT
    version: int | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


class Polled(Message, kw_only=True):
    """current_state: of the global partition. last_event_seq: the cursor after which the events begin."""

    events: Annotated[list[ProjectionEvent], field(1)]
    current_state: Annotated[Json | None, field(2, twin=4)] = None
    last_event_seq: Annotated[int, field(3, int64=True)] = 0


class SaveState(Message, kw_only=True):
    """partition_key: empty means the global one. last_event_seq: position of the last event folded into the state."""

    name: Annotated[str, field(1)]
    partition_key: Annotated[str, field(2)] = ""
    state: Annotated[Json | None, field(3, twin=7)] = None
    last_event_id: Annotated[str, field(4)] = ""
    last_event_seq: Annotated[int, field(5, int64=True)] = 0
    last_event_time: Annotated[datetime | None, field(6)] = None
    lease: Annotated[Lease | None, field(8)] = None


class PartitionState(Message, kw_only=True):
    """As in SaveState."""

    partition_key: str = ""
    state: Json | None = None
    last_event_id: str = ""
    last_event_seq: int = 0
    last_event_time: datetime | None = None


class SaveStates(Message, kw_only=True):
    """The states of several partitions, saved together or not at all."""

    name: str
    states: list[PartitionState]
    lease: Lease | None = None


class Ack(Message, kw_only=True):
    name: Annotated[str, field(1)]
    last_event_id: Annotated[str, field(2)] = ""
    last_event_seq: Annotated[int, field(3, int64=True)] = 0
    lease: Annotated[Lease | None, field(4)] = None


class Ok(Message, kw_only=True):
    ok: Annotated[bool, field(1)] = True


class Follow(Message, kw_only=True):
    """The events of a projection as they come, from its cursor."""

    name: Annotated[str, field(1)]
    batch_size: Annotated[int, field(2, ge=0)] = 0
    partition: Annotated[str, field(3)] = ""
    accept_heartbeats: Annotated[bool, field(4)] = False
    lease: Annotated[Lease | None, field(5)] = None


# Readers.


class GetProjection(Message, kw_only=True):
    """as_of: the state as it was then."""

    name: Annotated[str, field(1)]
    partition: Annotated[str, field(2)] = ""
    as_of: Annotated[datetime | None, field(3)] = None


class ProjectionInfo(Message, kw_only=True):
    """A projection as it is registered. type: `sql` for one that the server keeps by itself, else `sdk`."""

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


class Envelope(Message, kw_only=True):
    """A projection with the state of one partition; without `state` before the first save."""

    name: str
    version: int
    mode: str
    status: str
    last_event_seq: int
    updated_at: datetime
    error_message: str | None = None
    state: StateRow | None = None


class ListProjections(Message, kw_only=True):
    """limit: 0 for 100."""

    status: Annotated[str, field(1)] = ""
    mode: Annotated[str, field(2)] = ""
    limit: Annotated[int, field(3, ge=0, le=10_000)] = 0
    offset: Annotated[int, field(4, ge=0)] = 0


class Projections(Message, kw_only=True):
    projections: Annotated[list[ProjectionInfo], field(1)]
    total_count: Annotated[int, field(2)]


class ListStatuses(Message, kw_only=True):
    """cursor: the last name of the page before. environment: stated by a header, or empty."""

    limit: Annotated[int, field(ge=1, le=10_000)] = 1000
    cursor: str = ""
    environment: str = ""


class Status(Message, kw_only=True):
    """status: active, rebuilding, paused or error. lag: its events after the cursor, or more when it is far behind.

    rebuild_…: of the rebuild under way. type: `sql` for one that the server keeps by itself, else `sdk`.
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


# Rebuilding.


class Rebuild(Message, kw_only=True):
    """partition: that one only. from_event_id, to_event_id: the first and the last event to fold, both included.

    dry_run: only counts the events.
    """

    name: Annotated[str, field(1)]
    partition: Annotated[str, field(2)] = ""
    from_event_id: Annotated[str, field(3)] = ""
    dry_run: Annotated[bool, field(4)] = False
    to_event_id: Annotated[str, field(5)] = ""


class RebuildJob(Message, kw_only=True):
    """status: rebuilding, completed, cancelled or dry_run_ok. progress: 0 to 1. total_events: those to look at."""

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


# Waiting.


class WaitItem(Message, kw_only=True):
    """min_seq: the position that the projection should have reached. partition: of that one only."""

    name: Annotated[str, field(1)]
    min_seq: Annotated[int, field(2, int64=True, ge=0)] = 0
    partition: Annotated[str, field(3)] = ""


class Wait(Message, kw_only=True):
    """timeout: 30 s when absent, at most 60 s; a bare number counts milliseconds."""

    name: Annotated[str, field(1)]
    min_seq: Annotated[int, field(2, int64=True, ge=0)] = 0
    timeout: Annotated[timedelta | None, field(3, also=("timeout_ms", "timeoutMs"))] = None
    partition: Annotated[str, field(4)] = ""


class Waited(Message, kw_only=True):
    """current_seq: up to there every event of the projection is saved. mode: managed or external."""

    caught_up: Annotated[bool, field(1)]
    timed_out: Annotated[bool, field(2)]
    current_seq: Annotated[int, field(3, int64=True)]
    target_seq: Annotated[int, field(4, int64=True)]
    behind_by_events: Annotated[int, field(5, int64=True)]
    rebuilding: Annotated[bool, field(6)]
    mode: Annotated[str, field(7)]


class WaitBatch(Message, kw_only=True):
    """1 to 16 items under one deadline."""

    items: Annotated[list[WaitItem], field(1)]
    timeout: Annotated[timedelta | None, field(2, also=("timeout_ms", "timeoutMs"))] = None


class ItemWaited(Message, kw_only=True):
    """One of the two."""

    result: Annotated[Waited | None, field(1)] = None
    error: Annotated[str | None, field(2)] = None


class BatchWaited(Message, kw_only=True):
    results: Annotated[list[ItemWaited], field(1)]


class WaitForEvent(Message, kw_only=True):
    event_id: Annotated[str, field(1)]
    projection: Annotated[str, field(2)]
    partition: Annotated[str, field(3)] = ""
    timeout: Annotated[timedelta | None, field(4, also=("timeout_ms", "timeoutMs"))] = None


class WaitFrame(Message, kw_only=True):
    kind: Annotated[FrameKind, field(1)]
    current_seq: Annotated[int, field(2, int64=True)] = 0
    target_seq: Annotated[int, field(3, int64=True)] = 0
    behind_by_events: Annotated[int, field(4, int64=True)] = 0
    caught_up: Annotated[bool, field(5)] = False
    timed_out: Annotated[bool, field(6)] = False
    error: Annotated[str | None, field(7)] = None
    mode: Annotated[str, field(8)] = ""


_PATH = "/api/v1/projections/{name}"

register = operation(
    "projections.register", Register, Registered,
    rpc="ProjectionService/RegisterProjection", scope="projections:run", errors=(InvalidProjection,),
    doc="Makes a projection known, or updates what it is; its cursor and states stay.",
)  # fmt: skip
acquire_lease = operation(
    "projections.acquire_lease", Named, Acquired,
    rpc="ProjectionService/AcquireProjectionLease", scope="projections:run", errors=(ProjectionNotFound,),
    doc="Makes the caller the projection's only runner, unless another one is.",
)  # fmt: skip
renew_lease = operation(
    "projections.renew_lease", HeldLease, Renewed,
    rpc="ProjectionService/RenewProjectionLease", scope="projections:run", errors=(ProjectionNotFound, LeaseLost),
    doc="Keeps a lease for another while.",
)  # fmt: skip
release_lease = operation(
    "projections.release_lease", HeldLease, None,
    rpc="ProjectionService/ReleaseProjectionLease", scope="projections:run",
    doc="Gives a lease back. It never fails: a lease that is not held any more needs no release.",
)  # fmt: skip
poll = operation(
    "projections.poll", Poll, Polled, holds=True,
    rpc="ProjectionService/PollProjectionEvents", scope="projections:run", errors=(ProjectionNotFound, LeaseLost),
    doc="The next events after the cursor. It moves no cursor; an empty answer is held back for up to a second.",
)  # fmt: skip
follow = operation(
    "projections.follow", Follow, ProjectionEvent, streaming="server",
    rpc="ProjectionService/StreamProjectionEvents", scope="projections:run", errors=(ProjectionNotFound, LeaseLost),
    doc="""The events after the cursor, and then each as it comes. The stream ends when the runner has to start again
    from what is saved: a refused or late save, another version, a lost lease.""",
)  # fmt: skip
save = operation(
    "projections.save", SaveState, Ok,
    rpc="ProjectionService/SaveProjectionState", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, StaleSave, InvalidSave, WrongMode, StateTooLarge),
    doc="Stores the state of a partition and its cursor in one transaction. A repetition changes nothing.",
)  # fmt: skip
save_many = operation(
    "projections.save_many", SaveStates, Ok,
    rest=f"POST {_PATH}/states", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, StaleSave, InvalidSave, WrongMode, StateTooLarge),
    doc="As `save`, for several partitions in one transaction.",
)  # fmt: skip
ack = operation(
    "projections.ack", Ack, Ok,
    rpc="ProjectionService/AckProjectionEvents", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, StaleSave, InvalidSave, WrongMode),
    doc="Moves the cursor of an external projection.",
)  # fmt: skip
get = operation(
    "projections.get", GetProjection, Projection,
    rpc="ProjectionService/GetProjection", scope="projections:read", errors=(ProjectionNotFound, NotRecorded),
    doc="""The state that a runner goes on from: during a rebuild that of the version being built. With `as_of`, the
    state that readers saw last at that moment.""",
)  # fmt: skip
envelope = operation(
    "projections.envelope", GetProjection, Envelope,
    rest=f"GET {_PATH}", scope="projections:read", errors=(ProjectionNotFound, NotRecorded),
    doc="A projection and the state of one partition as readers see it.",
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
    rest=f"GET {_PATH}/status", rpc="ProjectionService/GetProjectionStatus", spelling="both",
    scope="projections:read", errors=(ProjectionNotFound,),
    doc="Where a projection stands: cursor, lag, error, rebuild.",
)  # fmt: skip
partitions = operation(
    "projections.partitions", ListPartitions, Partitions,
    rest=f"GET {_PATH}/partitions", scope="projections:read", errors=(ProjectionNotFound,),
    doc="The partitions that have a state, in order.",
)  # fmt: skip
events = operation(
    "projections.events", ReadEvents, EventsRead,
    rest=f"GET {_PATH}/events", scope="projections:read", errors=(ProjectionNotFound,),
    doc="The events that a projection is made of, wherever its cursor is.",
)  # fmt: skip
recorded = operation(
    "projections.recorded", GetProjection, StateRow,
    rest=f"GET {_PATH}/recorded", scope="projections:read", errors=(ProjectionNotFound, NotRecorded),
    doc="The last state recorded at or before `as_of`: where a fold up to that moment can begin.",
)  # fmt: skip
pause = operation(
    "projections.pause", Named, Said,
    rest=f"POST {_PATH}/pause", rpc="ProjectionService/PauseProjection", scope="projections:manage",
    errors=(ProjectionNotFound,),
    doc="Feeds no more events until the projection is resumed.",
)  # fmt: skip
resume = operation(
    "projections.resume", Named, Said,
    rest=f"POST {_PATH}/resume", rpc="ProjectionService/ResumeProjection", scope="projections:manage",
    errors=(ProjectionNotFound,),
    doc="Feeds events again, and forgets an error.",
)  # fmt: skip
unregister = operation(
    "projections.unregister", Named, None,
    rpc="ProjectionService/UnregisterProjection", scope="projections:manage", errors=(ProjectionNotFound,),
    doc="Forgets a projection with its states and its cursor; as `delete`.",
)  # fmt: skip
delete = operation(
    "projections.delete", Named, Said,
    rest=f"DELETE {_PATH}", scope="projections:manage", errors=(ProjectionNotFound,),
    doc="Forgets a projection with its states and its cursor.",
)  # fmt: skip
rebuild = operation(
    "projections.rebuild", Rebuild, RebuildAnswer,
    rpc="ProjectionService/RebuildProjection", scope="projections:manage",
    errors=(ProjectionNotFound, EventNotFound, RebuildUnderWay, InvalidProjection),
    doc="Builds the projection anew beside the old version, which readers see until the new one has caught up.",
)  # fmt: skip
start_rebuild = operation(
    "projections.start_rebuild", Rebuild, RebuildShown,
    rest=f"POST {_PATH}/rebuild", spelling="both", scope="projections:manage", errors=rebuild.errors,
    doc="As `rebuild`.",
)  # fmt: skip
rebuild_job = operation(
    "projections.rebuild_job", Named, RebuildAnswer,
    rpc="ProjectionService/GetRebuildJob", scope="projections:read", errors=(ProjectionNotFound, RebuildNotFound),
    doc="The last rebuild of a projection.",
)  # fmt: skip
get_rebuild = operation(
    "projections.get_rebuild", Named, RebuildShown,
    rest=f"GET {_PATH}/rebuild", spelling="both", scope="projections:read",
    errors=(ProjectionNotFound, RebuildNotFound),
    doc="As `rebuild_job`.",
)  # fmt: skip
cancel_rebuild = operation(
    "projections.cancel_rebuild", Named, Said,
    rest=f"POST {_PATH}/cancel", rpc="ProjectionService/CancelRebuild", scope="projections:manage",
    errors=(ProjectionNotFound, RebuildNotFound),
    doc="Drops the version being built; the projection goes on from where it was.",
)  # fmt: skip
wait = operation(
    "projections.wait", Wait, Waited, holds=True,
    rest=f"GET {_PATH}/catchup", rpc="ProjectionService/WaitProjectionCatchup", spelling="camel",
    scope="projections:read", errors=(ProjectionNotFound, NotWaitable, WaitsFull),
    doc="Answers when the projection has saved every event of its own up to `min_seq`, or when the time is over.",
)  # fmt: skip
wait_batch = operation(
    "projections.wait_batch", WaitBatch, BatchWaited, holds=True,
    rest="POST /api/v1/projections/catchup/batch", rpc="ProjectionService/WaitProjectionCatchupBatch",
    spelling="camel", scope="projections:read", errors=(InvalidArgument, WaitsFull),
    doc="Waits for several projections; an item that cannot be waited for has its error.",
)  # fmt: skip
wait_for_event = operation(
    "projections.wait_for_event", WaitForEvent, Waited, holds=True,
    rest="POST /api/v1/projections/wait-for-event", rpc="ProjectionService/WaitForEvent", spelling="camel",
    scope="projections:read", errors=(ProjectionNotFound, EventNotFound, NotWaitable, WaitsFull),
    doc="As `wait`, up to the place of an event.",
)  # fmt: skip
wait_stream = operation(
    "projections.wait_stream", Wait, WaitFrame, streaming="server",
    rpc="ProjectionService/WaitProjectionCatchupStream", scope="projections:read",
    errors=(ProjectionNotFound, NotWaitable, WaitsFull),
    doc="As `wait`, telling each move of the cursor; at most 300 s.",
)  # fmt: skip
