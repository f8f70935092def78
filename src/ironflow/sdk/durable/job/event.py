"""The event as handlers see it: the one that started the run, and those that were waited for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic

import msgspec

from ironflow.base.errors import ValidationError
from ironflow.sdk.durable.job.assignment import JobEvent
from ironflow.sdk.values.declared import Data_co
from ironflow.sdk.values.definitions import EventDefinition
from ironflow.sdk.values.payload import Raw, Read, from_payload, reader_of, to_payload


@dataclass(frozen=True, slots=True)
class Event(Generic[Data_co]):
    """data: plain values, or what it was declared to be. version: of its schema, from 1; emitted_by: the run or key
    that emitted it.

    entity_id, entity_type, entity_version: where it was appended, if it is an event of an entity's stream.
    """

    id: str
    name: str
    data: Data_co
    timestamp: datetime
    version: int = 1
    source: str | None = None
    idempotency_key: str | None = None
    metadata: Mapping[str, Any] | None = None
    emitted_by: str | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


class _AwaitedEvent(msgspec.Struct, rename="camel"):
    id: str
    name: str
    data: Raw
    timestamp: datetime
    version: int = 1
    source: str | None = None
    idempotency_key: str | None = None
    metadata: Any = None
    emitted_by: str | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


_read_awaited = msgspec.json.Decoder(_AwaitedEvent).decode


def event_of(event: JobEvent, read: Read = from_payload) -> Event:
    """The event of a job, its data read by `read`, which may raise ValidationError."""
    return _event(event, read, event.emitted_by or event.emitted_by_camel)


def awaited_event(output: Raw) -> Event:
    """The event that ended a wait, from the step's recorded output. Source: protocol/step-semantics.md 5."""
    event = _read_awaited(output)
    return _event(event, from_payload, event.emitted_by)


def read_as(event: Event[Any], declared: str | EventDefinition[Any], step: str) -> Event[Any]:
    """The event with its data as the type of its definition; as it is where there is none.

    Raises ValidationError, naming the step.
    """
    kind = None if isinstance(declared, str) else declared.type
    if kind is None:
        return event
    try:
        return replace(event, data=reader_of(kind)(to_payload(event.data, f"event {event.name!r}")))
    except ValidationError as fault:
        raise ValidationError(f"step {step!r} has got event {event.name!r}: {fault}") from fault


def _event(event: JobEvent | _AwaitedEvent, read: Read, emitted_by: str | None) -> Event:
    return Event(
        id=event.id,
        name=event.name,
        data=read(event.data),
        timestamp=event.timestamp,
        version=event.version,
        source=event.source,
        idempotency_key=event.idempotency_key,
        metadata=event.metadata,
        emitted_by=emitted_by,
        entity_id=event.entity_id,
        entity_type=event.entity_type,
        entity_version=event.entity_version,
    )
