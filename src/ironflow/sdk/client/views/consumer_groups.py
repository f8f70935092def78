"""Consumer groups and what they gave up."""

from datetime import datetime
from typing import Any

from ironflow.features.consumer_groups import contract as groups
from ironflow.sdk.client.views.base import View


class ConsumerGroup(View, kw_only=True, frozen=True):
    """A consumer group. position and the fields after it are set for a single group, not in lists.

    lag: events it has not begun, counted up to 10,000. in_flight: with members. waiting: to be delivered again.
    """

    id: str = ""
    namespace: str = "default"
    name: str = ""
    pattern: str = ""
    filter_expr: str = ""
    ack_mode: groups.AckMode = groups.AckMode.AUTO
    backpressure: groups.BackpressureMode = groups.BackpressureMode.BUFFER
    max_inflight: int = 0
    max_redeliveries: int = 0
    redeliver_delay_ms: int = 0
    ack_wait_ms: int = 0
    metadata: Any = None
    status: groups.GroupStatus = groups.GroupStatus.ACTIVE
    member_count: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    position: int | None = None
    lag: int | None = None
    in_flight: int | None = None
    waiting: int | None = None
    dead_letters: int | None = None
    dropped: int | None = None


class DeadLetter(View, kw_only=True, frozen=True):
    """An event that a group delivers no more. data: None when the log has lost the event."""

    event_id: str
    sequence: int
    topic: str
    reason: str
    attempts: int
    dead_at: datetime
    data: Any = None
