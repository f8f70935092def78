"""Projections."""

from datetime import datetime
from typing import Any

from ironflow.sdk.client.views.base import View


class ProjectionState(View, kw_only=True, frozen=True):
    """The state of a projection's partition, and how the projection stands.

    last_event_seq: the projection's cursor. state: None before the first save. state_seq, state_event_id,
    state_event_time: of the last event in the state. version: how often the partition was saved.
    type: `sql` for one that the server keeps by itself, else `sdk`.
    """

    name: str
    partition: str
    mode: str
    type: str = "sdk"
    status: str
    last_event_seq: int
    error_message: str | None = None
    state: Any = None
    state_seq: int = 0
    state_event_id: str = ""
    state_event_time: datetime | None = None
    version: int = 0


class ProjectionUpdate(View, kw_only=True, frozen=True):
    """A state of a projection's partition, as of `projections.subscribe`.

    event_id, event_name: of the last event in it; the name is empty where the event is not kept, or may not be read.
    timestamp: when it was saved.
    """

    name: str
    partition: str
    state: Any
    event_id: str
    event_name: str = ""
    timestamp: datetime | None = None
