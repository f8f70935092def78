"""How callers wait until a projection has caught up."""

from datetime import timedelta
from typing import Annotated

from ironflow.base.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from ironflow.base.fields import Message, WireEnum, field
from ironflow.base.operation import operation
from ironflow.features.events.contract import EventNotFound
from ironflow.features.projections.contract.registry import PATH, ProjectionNotFound


class NotWaitable(FailedPrecondition):
    """The projection cannot be waited for as it is now."""

    code, status = "PROJECTION_NOT_WAITABLE", 409


class WaitsFull(ResourceExhausted):
    """Too many callers wait for projections at this moment. Try again a little later."""

    code, retryable = "PROJECTION_WAITS_FULL", True


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


wait = operation(
    "projections.wait", Wait, Waited, holds=True,
    rest=f"GET {PATH}/catchup", rpc="ProjectionService/WaitProjectionCatchup", spelling="camel",
    plain_go="numbers",
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
    doc="As `wait`, with a frame for each move of the cursor; at most 300 s.",
)  # fmt: skip
