"""Reading streams, their snapshots, and deleting them."""

from datetime import datetime
from typing import Annotated

import msgspec

from ironflow.base.errors import AlreadyExists, InvalidArgument, NotFound, PayloadTooLarge, ResourceExhausted
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation
from ironflow.features.events.contract import EntityTypeConflict, StreamDeleted
from ironflow.features.runs.contract import RunNotFound


class StreamNotFound(NotFound):
    """There is no stream of that entity in this environment."""

    code = "STREAM_NOT_FOUND"


class SnapshotNotFound(NotFound):
    """There is no snapshot of that entity at or below that version."""

    code = "SNAPSHOT_NOT_FOUND"


class SnapshotExists(AlreadyExists):
    """There is a snapshot of that entity at that version already."""

    code = "SNAPSHOT_EXISTS"


class InvalidSnapshot(InvalidArgument):
    """A snapshot is of a version that the stream has reached."""

    code = "INVALID_SNAPSHOT"


class SnapshotTooLarge(PayloadTooLarge):
    """The state is larger than this server accepts."""

    code = "SNAPSHOT_TOO_LARGE"


class InvalidRead(InvalidArgument):
    """A direction is `forward` or `backward`."""

    code = "INVALID_READ"


class AnswerTooLarge(ResourceExhausted):
    """The events asked for are too large for one answer. Read them in pages, with `limit` and `from_version`."""

    code, retryable = "ANSWER_TOO_LARGE", False


class ReadStream(Message, kw_only=True):
    """from_version: the first to read; 0 for the oldest, or the newest when backward. limit: 0 for all.

    direction: `forward` or `backward`.
    """

    entity_id: Annotated[str, field(1)]
    from_version: Annotated[int, field(2, int64=True, ge=0)] = 0
    limit: Annotated[int, field(3, ge=0)] = 0
    direction: Annotated[str, field(4)] = "forward"


class StreamEvent(Message, kw_only=True):
    """One event of a stream. version: of its schema; nats_seq: its position in the log."""

    id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    data: Annotated[Json, field(3, twin=9)]
    entity_version: Annotated[int, field(4, int64=True)]
    version: Annotated[int, field(5)] = 1
    timestamp: Annotated[datetime, field(6)]
    source: Annotated[str, field(7)] = ""
    metadata: Annotated[Json, field(8)] | None = None
    environment_id: Annotated[str, field(10)] = "default"
    idempotency_key: Annotated[str, field(11)] | None = None
    processed: Annotated[bool, field(12)] = True
    run_id: Annotated[str, field(13)] | None = None
    created_at: Annotated[datetime, field(16)]
    entity_id: Annotated[str, field(17)]
    entity_type: Annotated[str, field(18)]
    nats_seq: Annotated[int, field(19, int64=True)] = 0
    emitted_by: Annotated[str, field(20)] | None = None


class StreamEvents(Message, kw_only=True):
    """total_count: events that the stream has. next_version: where to go on; none at the end."""

    events: Annotated[list[StreamEvent], field(1)]
    total_count: Annotated[int, field(2)]
    next_version: Annotated[int, field(None, only="rest")] | None = None


class GetStreamInfo(Message, kw_only=True):
    entity_id: Annotated[str, field(1)]


class StreamInfo(Message, kw_only=True):
    """version: of the last event. event_count: events that it has. deleted_at: when it was deleted, if it was."""

    entity_id: Annotated[str, field(1)]
    entity_type: Annotated[str, field(2)]
    version: Annotated[int, field(3, int64=True)]
    event_count: Annotated[int, field(4, int64=True)]
    created_at: Annotated[datetime, field(5)]
    updated_at: Annotated[datetime, field(6)]
    last_event_at: Annotated[datetime, field(None, only="rest")]
    deleted_at: Annotated[datetime, field(None, only="rest")] | None = None


class ListStreams(Message, kw_only=True):
    """By entity id. search: text within the id. limit: 0 for 1000. deleted: also streams that were deleted."""

    entity_type: Annotated[str, field(1)] = ""
    limit: Annotated[int, field(2, ge=0, le=10_000)] = 0
    offset: Annotated[int, field(3, ge=0)] = 0
    search: Annotated[str, field(4)] = ""
    cursor: str = ""
    deleted: bool = False


class Streams(Message, kw_only=True):
    streams: Annotated[list[StreamInfo], field(1)]
    total_count: Annotated[int, field(2)]
    next_cursor: Annotated[str, field(None, only="rest")] | None = None


class GetEntityHistory(Message, kw_only=True):
    """limit: 0 for 50. from_version: where to begin, such as next_cursor. to_timestamp is exclusive."""

    entity_id: Annotated[str, field(1)]
    from_version: Annotated[int, field(2, int64=True, ge=0)] = 0
    limit: Annotated[int, field(3, ge=0, le=1000)] = 0
    direction: Annotated[str, field(4)] = "forward"
    from_timestamp: Annotated[datetime, field(5)] | None = None
    to_timestamp: Annotated[datetime, field(6)] | None = None


class HistoryStep(Message, kw_only=True):
    step_id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    step_type: Annotated[str, field(3)]
    status: Annotated[str, field(4)]
    duration_ms: Annotated[int, field(5)] = 0
    error_message: Annotated[str, field(6)] | None = None
    duration_ms_full: Annotated[int, field(7, int64=True)] | None = None


class HistoryRun(Message, kw_only=True):
    """A run that the event started, with its first steps (at most 100)."""

    run_id: Annotated[str, field(1)]
    function_id: Annotated[str, field(2)]
    status: Annotated[str, field(3)]
    duration_ms: Annotated[int, field(4)] = 0
    started_at: Annotated[datetime, field(5)] | None = None
    ended_at: Annotated[datetime, field(6)] | None = None
    steps: Annotated[list[HistoryStep], field(7)] = []
    duration_ms_full: Annotated[int, field(8, int64=True)] | None = None


class HistoryEntry(Message, kw_only=True):
    event_id: Annotated[str, field(1)]
    event_name: Annotated[str, field(2)]
    event_data: Annotated[Json, field(3, twin=9)]
    entity_version: Annotated[int, field(4, int64=True)]
    schema_version: Annotated[int, field(5)] = 1
    source: Annotated[str, field(6)] = ""
    timestamp: Annotated[datetime, field(7)]
    runs: Annotated[list[HistoryRun], field(8)] = []


class HistoryInfo(Message, kw_only=True):
    entity_id: Annotated[str, field(1)]
    entity_type: Annotated[str, field(2)]
    current_version: Annotated[int, field(3, int64=True)]
    total_event_count: Annotated[int, field(4, int64=True)]
    created_at: Annotated[datetime, field(5)]
    updated_at: Annotated[datetime, field(6)]


class EntityHistory(Message, kw_only=True):
    """next_cursor: the version to go on from; none at the end. total_events: of the stream. info: none without any."""

    entries: Annotated[list[HistoryEntry], field(1)]
    next_cursor: Annotated[int, field(2, int64=True)] | None = None
    total_events: Annotated[int, field(3, int64=True)] = 0
    info: Annotated[HistoryInfo, field(4)] | None = None


class GetFlatHistory(Message, kw_only=True):
    entity_id: str
    from_version: Annotated[int, field(ge=0)] = 0
    limit: Annotated[int, field(ge=0)] = 0


class FlatEntry(Message, kw_only=True):
    """version: of the event in its stream."""

    event_name: str
    data: Json
    version: int
    timestamp: datetime


class HistoryLine(Message, kw_only=True):
    """The same event with the names that Go clients read."""

    event_name: str
    event_data: Json
    entity_version: int
    timestamp: datetime
    metadata: Json | None = None


class FlatHistory(Message, kw_only=True):
    """events, entries: the same events, as JavaScript and as Go clients read them."""

    events: list[FlatEntry]
    entries: list[HistoryLine] = []
    next_version: int | None = None


class CreateSnapshot(Message, kw_only=True):
    """state: what the entity is after entity_version, any JSON. entity_type: may be left out."""

    entity_id: Annotated[str, field(1)]
    entity_type: Annotated[str, field(2)] = ""
    entity_version: Annotated[int, field(3, int64=True)]
    state: Annotated[Json, field(4, twin=5)] = msgspec.field(default_factory=null)


class SnapshotCreated(Message, kw_only=True):
    snapshot_id: Annotated[str, field(1)]


class GetSnapshot(Message, kw_only=True):
    """before_version: the newest at or below it; 0 for the newest of all."""

    entity_id: Annotated[str, field(1)]
    before_version: Annotated[int, field(2, int64=True, ge=0)] = 0


class Snapshot(Message, kw_only=True):
    """What the entity was after entity_version, as its writer saw it."""

    snapshot_id: Annotated[str, field(1)]
    entity_id: Annotated[str, field(2)]
    entity_type: Annotated[str, field(3)]
    entity_version: Annotated[int, field(4, int64=True)]
    state: Annotated[Json, field(5, twin=7)]
    created_at: Annotated[datetime, field(6)]


class GetRunStreams(Message, kw_only=True):
    run_id: str
    limit: Annotated[int, field(ge=1, le=10_000)] = 1000
    cursor: str = ""


class RunStreams(Message, kw_only=True):
    """The entities, by id, to whose streams the run appended."""

    entity_ids: list[str]
    next_cursor: str | None = None


class DeleteStream(Message, kw_only=True):
    """purge: its events are removed as well. reason: recorded in its last event."""

    entity_id: str
    purge: bool = False
    reason: Annotated[str, field(max_length=500)] = ""


class DeletedStream(Message, kw_only=True):
    """entity_version: of the tombstone, the last event. purged: events that this call removed.

    kept: events that are there still, since a run or a reader of the log needs them; deleting again removes them later.
    """

    entity_id: str
    entity_version: int
    purged: int = 0
    kept: int = 0


_STREAM = "/api/v1/streams/{entity_id...}"

read = operation(
    "streams.read", ReadStream, StreamEvents,
    rest=f"GET {_STREAM}/events", rpc="EntityStreamService/ReadStream", spelling="camel",
    scope="entities:read", errors=(InvalidRead, AnswerTooLarge),
    doc="The events of a stream from a version on, oldest or newest first; none for an entity without events.",
)  # fmt: skip
info = operation(
    "streams.info", GetStreamInfo, StreamInfo,
    rest=f"GET {_STREAM}", rpc="EntityStreamService/GetStreamInfo", spelling="camel",
    scope="entities:read", errors=(StreamNotFound,),
    doc="The type, version and size of one entity's stream.",
)  # fmt: skip
list_ = operation(
    "streams.list", ListStreams, Streams,
    rest="GET /api/v1/streams", rpc="EntityStreamService/ListStreams", spelling="both",
    rest_defaults={"limit": 10_000},
    scope="entities:read",
    doc="The streams of this environment by entity id.",
)  # fmt: skip
history = operation(
    "streams.history", GetEntityHistory, EntityHistory,
    rpc="EntityStreamService/GetEntityHistory", scope="entities:read", asks=("runs:read",),
    errors=(InvalidRead, AnswerTooLarge),
    doc="The events of a stream, each with the runs that it started and their first steps.",
)  # fmt: skip
flat_history = operation(
    "streams.flat_history", GetFlatHistory, FlatHistory,
    rest=f"GET {_STREAM}/history", spelling="both", scope="entities:read", errors=(AnswerTooLarge,),
    doc="The events of a stream, oldest first, as plain entries; all of them unless there is a `limit`.",
)  # fmt: skip
create_snapshot = operation(
    "streams.create_snapshot", CreateSnapshot, SnapshotCreated,
    rest=f"POST {_STREAM}/snapshots", rpc="EntityStreamService/CreateSnapshot", spelling="both", success=201,
    scope="entities:append", adds="stored",
    errors=(StreamNotFound, EntityTypeConflict, InvalidSnapshot, SnapshotExists, SnapshotTooLarge, StreamDeleted),
    doc="Keeps what an entity was after one of its versions; there is one of a version.",
)  # fmt: skip
get_snapshot = operation(
    "streams.get_snapshot", GetSnapshot, Snapshot,
    rest=(f"GET {_STREAM}/snapshots", f"GET {_STREAM}/snapshot"), rpc="EntityStreamService/GetSnapshot",
    spelling="both",
    scope="entities:read", errors=(SnapshotNotFound,),
    doc="The newest snapshot of an entity at or below a version.",
)  # fmt: skip
delete = operation(
    "streams.delete", DeleteStream, DeletedStream,
    rest=f"DELETE {_STREAM}", spelling="both", scope="entities:delete", errors=(StreamNotFound,),
    doc="Ends a stream with a tombstone: nothing is appended any more, and its snapshots are removed.",
)  # fmt: skip
of_run = operation(
    "streams.of_run", GetRunStreams, RunStreams,
    rest="GET /api/v1/runs/{run_id}/streams", spelling="both", scope="entities:read", errors=(RunNotFound,),
    doc="The entities to whose streams a run appended.",
)  # fmt: skip
