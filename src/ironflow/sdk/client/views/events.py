"""Events, streams and the schemas of both."""

from datetime import datetime
from typing import Any

from ironflow.features.schemas import contract as schemas
from ironflow.features.streams.contract import HistoryRun
from ironflow.sdk.client.views.base import Failure, View
from ironflow.sdk.values.payload import from_json_text


class Event(View, kw_only=True, frozen=True):
    """A recorded event. position: its place in the global order of the log. entity_...: of streams' events only."""

    id: str
    name: str
    data: Any
    idempotency_key: str | None = None
    source: str = ""
    timestamp: datetime
    metadata: Any = None
    version: int = 1
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None
    emitted_by: str | None = None
    created_at: datetime
    processed: bool = True
    run_id: str | None = None
    namespace: str = "default"
    position: int = 0
    imported_at: datetime | None = None


class EventWithRuns(Event, kw_only=True, frozen=True):
    """run_ids: the runs that it started, oldest first."""

    run_ids: list[str] = []


class Emitted(View, kw_only=True, frozen=True):
    """A stored event and the runs that it started. error: only in a batch, for an item that was not stored.

    id: as event_id, where the server sends it. position: of the event in the log, the one that projections wait for.
    duplicate: the idempotency key was used before, and this is the first answer; payload_differs: to other data.
    woken_run_ids: the runs that waited for the event.
    """

    run_ids: list[str] = []
    event_id: str = ""
    error: Failure | None = None
    id: str | None = None
    position: int | None = None
    duplicate: bool | None = None
    payload_differs: bool | None = None
    woken_run_ids: list[str] | None = None


class StreamEvent(View, kw_only=True, frozen=True):
    """One event of an entity's stream. entity_version: its place there, from 1; version: of its schema."""

    id: str
    name: str
    data: Any
    entity_version: int
    version: int = 1
    timestamp: datetime
    source: str = ""
    metadata: Any = None
    environment_id: str = "default"
    idempotency_key: str | None = None
    processed: bool = True
    run_id: str | None = None
    created_at: datetime
    entity_id: str
    entity_type: str
    nats_seq: int = 0
    emitted_by: str | None = None


class HistoryEntry(View, kw_only=True, frozen=True):
    """One event of an entity's stream with the runs that it started. schema_version: of the event's data."""

    event_id: str
    event_name: str
    event_data: Any
    entity_version: int
    schema_version: int = 1
    source: str = ""
    timestamp: datetime
    runs: list[HistoryRun] = []


class Snapshot(View, kw_only=True, frozen=True):
    """What an entity was after entity_version, as its writer saw it."""

    snapshot_id: str
    entity_id: str
    entity_type: str
    entity_version: int
    state: Any
    created_at: datetime


class EventSchema(View, kw_only=True, frozen=True):
    """The schema of one version of an event."""

    event_name: str
    version: int
    schema: Any
    description: str = ""
    created_at: datetime


class UpcastTrial(View, kw_only=True, frozen=True):
    """Data of an event as the server brings it to another version, and the steps that it took."""

    data: Any
    steps_applied: list[schemas.UpcastStep] = []


def schema_view(message: schemas.Schema | schemas.SchemaInfo) -> EventSchema:
    """The schema is a JSON text in the message."""
    values = {name: getattr(message, name) for name in EventSchema.__struct_fields__}
    return EventSchema(**values | {"schema": from_json_text(message.schema_json)})
