"""What can be asked of the audit trail.

Source of shapes and numbers: protocol/connectrpc.json, protocol/connectrpc.md 5.6 and 6, protocol/rest.md 13.
"""

from datetime import datetime
from typing import Annotated, Literal

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.time_travel.contract import RecordingExpired, RunNotRecorded


class InvalidCursor(InvalidArgument):
    """The cursor is not one that this list gave out."""

    code = "INVALID_AUDIT_CURSOR"


class GetAuditTrail(Message, kw_only=True):
    """The trail of one run. event_type: only that type. limit 0 means 1,000.

    from_timestamp, to_timestamp: RFC 3339, from the first on and before the second; empty for any.
    """

    run_id: Annotated[str, field(1, also=("id",), min_length=1)]
    event_type: Annotated[str, field(2)] = ""
    from_timestamp: Annotated[str, field(3, also=("from",))] = ""
    to_timestamp: Annotated[str, field(4, also=("to",))] = ""
    limit: Annotated[int, field(5, ge=0, le=10_000)] = 0
    cursor: Annotated[str, field(6)] = ""


class AuditEvent(Message, kw_only=True):
    """One thing that happened to a run. step_id: the SDK's. created_at: when it was recorded.

    payload: an object; what it holds for each event_type is in docs/reference/audit.md. metadata: `actor`, who did it,
    where a person did.
    """

    id: Annotated[str, field(1)]
    run_id: Annotated[str, field(2)]
    function_id: Annotated[str, field(3)]
    step_id: Annotated[str, field(4)] | None = None
    event_type: Annotated[str, field(5)]
    payload: Annotated[Json, field(6, twin=9)]
    metadata: Annotated[dict[str, str], field(7)] | None = None
    created_at: Annotated[datetime, field(8)]
    environment_id: Annotated[str, field(10)]


class AuditEntry(Message, kw_only=True):
    """The same for clients that know this shape only. data: the payload."""

    id: str
    type: str
    timestamp: datetime
    data: Json


class AuditTrail(Message, kw_only=True):
    """total_count: events of the run that pass the filter, on all pages."""

    events: Annotated[list[AuditEvent], field(1)]
    total_count: Annotated[int, field(2)]
    next_cursor: Annotated[str, field(3)] | None = None
    entries: Annotated[list[AuditEntry], field(only="rpc")] = []


class ListAudit(Message, kw_only=True):
    """The trail of an environment. Empty means any. limit 0 means 100. api_key_id: done with that key.

    only: `notes`, what was done and refused outside of runs' histories.
    """

    run_id: str = ""
    function_id: str = ""
    event_type: Annotated[str, field(None, also=("action",))] = ""
    api_key_id: str = ""
    from_timestamp: Annotated[str, field(None, also=("from",))] = ""
    to_timestamp: Annotated[str, field(None, also=("to",))] = ""
    only: Literal["", "notes"] = ""
    limit: Annotated[int, field(ge=0, le=1000)] = 0
    cursor: str = ""


class AuditPage(Message, kw_only=True):
    """next_cursor: empty on the last page; a page with one may be short, or empty.

    total_count: exact where one page holds all, else how many of the newest 10,000 facts may be such events.
    retention_days: how long ended runs are kept with their history, 0 for ever; a function's recording_retention may
    be shorter.
    """

    events: list[AuditEvent]
    next_cursor: str = ""
    retention_days: float
    total_count: int


class GetAuditSettings(Message, kw_only=True):
    """No fields."""


class AuditSettings(Message, kw_only=True):
    """What this server audits: runs of functions that record, administrative changes and refusals.

    Nothing is redacted, and nothing is sent elsewhere.
    """

    capture_scope: str = "runs"
    retention_days: float
    function_recording: bool = True
    kv_capture: bool = False
    delivery_enabled: bool = False
    payload_redaction_enabled: bool = False
    authz_capture: bool = True
    changes_require_restart: bool = True


trail = operation(
    "audit.trail", GetAuditTrail, AuditTrail,
    rest="GET /api/v1/runs/{run_id}/audit", rpc="AuditService/GetAuditTrail", rpc_spelling="both",
    plain_go="snake", scope="audit:read", errors=(RunNotFound, RunNotRecorded, RecordingExpired, InvalidCursor),
    doc="What happened to a recorded run, with payloads, in the order of record.",
)  # fmt: skip
list_ = operation(
    "audit.list", ListAudit, AuditPage,
    rest="GET /api/v1/audit", scope="audit:read", errors=(InvalidCursor,),
    doc="What happened to all recorded runs of this environment, newest first, with filters.",
)  # fmt: skip
settings = operation(
    "audit.settings", GetAuditSettings, AuditSettings,
    rest="GET /api/v1/audit/settings", scope="audit:read",
    doc="What this server audits and how long it keeps it.",
)  # fmt: skip
