"""What can be asked of events. Source: protocol/rest.md 3, protocol/connectrpc.json, protocol/connectrpc.md 5.1."""

from datetime import datetime
from typing import Annotated

import msgspec

from ironflow.base.duration import LONGEST_MS
from ironflow.base.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PayloadTooLarge
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation
from ironflow.base.run_keys import InvalidRunKey, RunKeyHeld
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.runs.contract import RunResult, WireError
from ironflow.features.schemas.contract import SchemaViolation

NAME_CHARS_MAX = 256


class EventNotFound(NotFound):
    """There is no event of that id in this environment."""

    code = "EVENT_NOT_FOUND"


class InvalidEvent(InvalidArgument):
    """An event has a name of 1 to 256 characters without spaces, `*` or `>`, and a version of at least 1."""

    code = "INVALID_EVENT"


class EventTooLarge(PayloadTooLarge):
    """The event's data is larger than this server accepts."""

    code = "EVENT_TOO_LARGE"


class InvalidEntity(InvalidArgument):
    """An entity's id and type are 1 to 256 characters without spaces, `*` or `>`; expected_version is at least -1."""

    code = "INVALID_ENTITY"


class StreamDeleted(FailedPrecondition):
    """The entity's stream was deleted; nothing is appended to it any more. Give a new entity another id."""

    code = "STREAM_DELETED"


class IdempotencyKeyReused(AlreadyExists):
    """The idempotency key was used for an append of another name or other data."""

    code = "IDEMPOTENCY_KEY_REUSED"


class BatchRefused(InvalidArgument):
    """An event of the batch cannot be recorded; none of it was. `details.index` says which, from 0."""

    code = "BATCH_REFUSED"


class EntityTypeConflict(FailedPrecondition):
    """The stream of that entity has another type. An id is one entity within its environment, whatever its type."""

    code = "ENTITY_TYPE_CONFLICT"


class ImportRefused(InvalidArgument):
    """An event of the import cannot be added; none of its batch was. `details.index` says which, from 0."""

    code = "IMPORT_REFUSED"


class CannotWait(FailedPrecondition):
    """The answer of a debounced function cannot be waited for. Emit without waiting."""

    code = "CANNOT_WAIT"


class Emit(Message, kw_only=True):
    """One event. Data is any JSON.

    The same idempotency_key for the same event name within 7 days answers the first emit's ids again.
    source: `webhook` for an event that a webhook of the caller brought; anything else is passed over.
    """

    event: Annotated[str, field(1, also=("name",))]
    data: Annotated[Json, field(2, twin=6)] = msgspec.field(default_factory=null)
    idempotency_key: Annotated[str, field(3)] = ""
    metadata: Annotated[Json, field(4)] | None = None
    version: Annotated[int, field(5)] = 1
    namespace: str = "default"
    source: str = ""


class NamespacedEmit(Message, kw_only=True):
    event: Annotated[str, field(1, also=("name",))]
    data: Annotated[Json, field(2, twin=7)] = msgspec.field(default_factory=null)
    idempotency_key: Annotated[str, field(3)] = ""
    metadata: Annotated[Json, field(4)] | None = None
    namespace: Annotated[str, field(5)] = "default"
    version: Annotated[int, field(6)] = 1


class Emitted(Message, kw_only=True):
    """The stored event and the runs it started. error: only in a batch, for an item that was not stored.

    id: as event_id. position: of the event in the log, the one that projections wait for. duplicate: the idempotency
    key was used before; payload_differs: and the first emit carried other data. woken_run_ids: the runs that waited for
    the event.
    """

    run_ids: Annotated[list[str], field(1)] = []
    event_id: Annotated[str, field(2)] = ""
    error: Annotated[WireError, field(3)] | None = None
    id: Annotated[str, field(None, only="rest")] | None = None
    position: Annotated[int, field(None, only="rest")] | None = None
    duplicate: Annotated[bool, field(None, only="rest")] | None = None
    payload_differs: Annotated[bool, field(None, only="rest")] | None = None
    woken_run_ids: Annotated[list[str], field(None, only="rest")] | None = None


class NamespacedEmitted(Message, kw_only=True):
    run_ids: Annotated[list[str], field(1)] = []
    event_id: Annotated[str, field(2)] = ""


class EmitSync(Message, kw_only=True):
    """timeout_ms: how long to wait for the runs; 0 means 30 s."""

    event: Annotated[str, field(1, also=("name",))]
    data: Annotated[Json, field(2, twin=6)] = msgspec.field(default_factory=null)
    idempotency_key: Annotated[str, field(3)] = ""
    timeout_ms: Annotated[int, field(4, ge=0, le=LONGEST_MS)] = 0
    metadata: Annotated[Json, field(5)] | None = None
    version: Annotated[int, field(7)] = 1
    namespace: str = "default"


class SyncResults(Message, kw_only=True):
    results: Annotated[list[RunResult], field(1)]
    event_id: Annotated[str, field(2)]


class EmitBatch(Message, kw_only=True):
    """atomic: a bad event refuses the whole batch; otherwise it carries its own error and the others are recorded."""

    # Raw items, so that one bad item is its own error and not the batch's.
    events: Annotated[list[Json], field(1)]
    atomic: Annotated[bool, field(None)] = False


class BatchEmitted(Message, kw_only=True):
    results: Annotated[list[Emitted], field(1)]


class Invoke(Message, kw_only=True):
    """key (ours): unique among the runs of the function that have not ended. if_running: what this start does when one
    has it: `use` (default) it, `refuse`, or `replace` it. entity_key (ours): of the entity that the function is a
    handler of; empty takes that of the data.
    """

    function_id: Annotated[str, field(1, also=("id",))]
    data: Annotated[Json, field(2, twin=3)] = msgspec.field(default_factory=null)
    idempotency_key: Annotated[str, field(4)] = ""
    key: Annotated[str, field(110)] = ""
    if_running: Annotated[str, field(111)] = ""
    entity_key: Annotated[str, field(112)] = ""


class Invoked(Message, kw_only=True):
    """duplicate, payload_differs: as of Emitted. existing: the run had the key already; no other was started."""

    run_id: Annotated[str, field(1)]
    event_id: Annotated[str, field(2)]
    duplicate: Annotated[bool, field(None, only="rest")] | None = None
    payload_differs: Annotated[bool, field(None, only="rest")] | None = None
    existing: Annotated[bool, field(None, only="rest")] | None = None


class InvokeSync(Message, kw_only=True):
    """timeout_ms: as of EmitSync. detached: the run goes on when its caller disconnects. The rest is as of Invoke.

    A caller with an idempotency key or a key may come back: its run goes on as well.
    """

    function_id: Annotated[str, field(1, also=("id",))]
    data: Annotated[Json, field(2, twin=6)] = msgspec.field(default_factory=null)
    timeout_ms: Annotated[int, field(3, ge=0, le=LONGEST_MS)] = 0
    idempotency_key: Annotated[str, field(4)] = ""
    metadata: Annotated[Json, field(5)] | None = None
    detached: bool = False
    key: Annotated[str, field(110)] = ""
    if_running: Annotated[str, field(111)] = ""
    entity_key: Annotated[str, field(112)] = ""


class SyncResult(Message, kw_only=True):
    result: Annotated[RunResult, field(1)]


class Event(Message, kw_only=True):
    """A recorded event. position: its place in the global order of the log. entity_...: of streams' events only."""

    id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    data: Annotated[Json, field(3, twin=12)]
    idempotency_key: Annotated[str, field(4)] | None = None
    source: Annotated[str, field(5)] = ""
    timestamp: Annotated[datetime, field(6)]
    metadata: Annotated[Json, field(7)] | None = None
    version: Annotated[int, field(8)] = 1
    entity_id: Annotated[str, field(9)] | None = None
    entity_type: Annotated[str, field(10)] | None = None
    entity_version: Annotated[int, field(11, int64=True)] | None = None
    emitted_by: Annotated[str, field(13)] | None = None
    created_at: Annotated[datetime, field(None, only="rest")]
    processed: Annotated[bool, field(None, only="rest")] = True
    run_id: Annotated[str, field(None, only="rest")] | None = None
    namespace: Annotated[str, field(None, only="rest")] = "default"
    position: Annotated[int, field(None, only="rest")] = 0
    imported_at: Annotated[datetime, field(None, only="rest")] | None = None


class EventWithRuns(Event, kw_only=True):
    """run_ids: the runs that it started, oldest first; those that retention removed are missing."""

    run_ids: list[str] = []


class GetEvent(Message, kw_only=True):
    id: str


class ImportEvents(Message, kw_only=True):
    """events: as they were exported, oldest first. trigger: they start runs and end waits, as if emitted now."""

    # Raw items, so that a refusal says which one is bad.
    events: list[Json]
    trigger: bool = False


class ImportedEvent(Message, kw_only=True):
    """One event of another log. It keeps its id and time, and gets a position of this log."""

    id: Annotated[str, field(min_length=1, max_length=128)]
    name: str
    data: Json = msgspec.field(default_factory=null)
    timestamp: datetime
    version: int = 1
    source: Annotated[str, field(max_length=128)] = ""
    metadata: Json | None = None
    namespace: str = "default"
    idempotency_key: str = ""
    emitted_by: Annotated[str, field(max_length=256)] = ""
    run_id: Annotated[str, field(max_length=128)] = ""
    entity_id: str = ""
    entity_type: str = ""
    entity_version: Annotated[int, field(ge=0)] = 0


class Imported(Message, kw_only=True):
    """known: events whose ids were here before; nothing was done about them."""

    imported: int
    known: int
    run_ids: list[str] = []


class ListEvents(Message, kw_only=True):
    """Newest first. cursor continues with older events, before with newer ones; use one of them. before=0: the oldest.

    A page may be short, or empty, and have a cursor all the same: each looks at a bounded piece of the log.

    names: comma list; a name may hold `*` and `>`. search: text within the data.
    """

    name: str = ""
    names: Annotated[list[str], field(max_length=1000)] = []
    source: str = ""
    search: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, field(ge=1, le=1000)] = 20
    cursor: str = ""
    before: str = ""


class Events(Message, kw_only=True):
    events: list[Event]
    count: int
    limit: int
    has_next: bool
    has_prev: bool
    next_cursor: str | None = None
    prev_cursor: str | None = None
    approx_total: int | None = None
    approx_total_capped: bool | None = None


class ListEventNames(Message, kw_only=True):
    since: datetime | None = None
    until: datetime | None = None
    source: str = ""


class NameCount(Message, kw_only=True):
    name: str
    count: int


class EventNames(Message, kw_only=True):
    names: list[NameCount]
    scan_cap: int
    scanned: int
    truncated: bool


emit = operation(
    "events.emit", Emit, Emitted,
    rest="POST /api/v1/events", rpc=("IronflowService/Emit", "IronflowService/Trigger"), spelling="both",
    scope="events:emit", adds="events", errors=(InvalidEvent, EventTooLarge, SchemaViolation),
    doc="Records an event and starts a run of every function whose trigger matches; answers when both are durable.",
)  # fmt: skip
emit_namespaced = operation(
    "events.emit_namespaced", NamespacedEmit, NamespacedEmitted,
    rpc="PubSubService/Emit", scope="events:emit", adds="events", errors=(InvalidEvent, EventTooLarge, SchemaViolation),
    doc="As events.emit, with a namespace.",
)  # fmt: skip
emit_sync = operation(
    "events.emit_sync", EmitSync, SyncResults,
    rest="POST /api/v1/events/sync", rpc="IronflowService/TriggerSync", spelling="both",
    scope="events:emit", adds="events", errors=(InvalidEvent, EventTooLarge, SchemaViolation, CannotWait),
    doc="As events.emit, then waits until every started run has ended or timeout_ms has passed.",
)  # fmt: skip
emit_batch = operation(
    "events.emit_batch", EmitBatch, BatchEmitted,
    rest="POST /api/v1/events/batch", rpc="IronflowService/TriggerBatch", spelling="both",
    scope="events:emit", adds="events", errors=(InvalidEvent, BatchRefused),
    doc="Records events in one transaction: all valid ones, a bad one carries its own error; or all or none.",
)  # fmt: skip
invoke = operation(
    "events.invoke", Invoke, Invoked,
    rest="POST /api/v1/functions/{id...}/invoke", rpc="IronflowService/InvokeFunction", spelling="both", body_or="data",
    scope="functions:invoke", adds="events",
    errors=(FunctionNotFound, FunctionNotActive, EventTooLarge, InvalidRunKey, RunKeyHeld, InvalidEntity),
    doc="Starts one run of one function, whatever its triggers.",
)  # fmt: skip
invoke_sync = operation(
    "events.invoke_sync", InvokeSync, SyncResult,
    rpc="IronflowService/InvokeFunctionSync", scope="functions:invoke", adds="events", holds=True, watches_caller=True,
    errors=(FunctionNotFound, FunctionNotActive, EventTooLarge, InvalidRunKey, RunKeyHeld, InvalidEntity),
    doc="Starts one run of one function and waits for it.",
)  # fmt: skip
import_ = operation(
    "events.import", ImportEvents, Imported,
    rest="POST /api/v1/events/import", scope="events:import", adds="events", errors=(ImportRefused, InvalidEvent),
    doc="Adds events of another log in one transaction; those whose ids are here already are passed over.",
)  # fmt: skip
get = operation(
    "events.get", GetEvent, EventWithRuns,
    rest="GET /api/v1/events/{id}", scope="events:read", errors=(EventNotFound,),
    doc="One event by id, with the runs that it started.",
)  # fmt: skip
list_ = operation(
    "events.list", ListEvents, Events,
    rest="GET /api/v1/events", scope="events:read",
    doc="Recorded events, newest first, with filters.",
)  # fmt: skip
names = operation(
    "events.names", ListEventNames, EventNames,
    rest="GET /api/v1/events/names", scope="events:read",
    doc="The names seen among the newest events, with counts.",
)  # fmt: skip
