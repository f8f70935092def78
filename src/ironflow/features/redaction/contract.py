"""What can be asked of redaction. Source: behaviour.md 4; protocol/errors-and-defaults.md 3 for the marker."""

from datetime import datetime
from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.engine.errors import StepNotFound
from ironflow.features.events.contract import EventNotFound
from ironflow.features.runs.contract import RunNotEnded, RunNotFound


class RedactEvent(Message, kw_only=True):
    """reason: kept in the list of redactions, for ever; write nothing in it that is to be forgotten."""

    id: Annotated[str, field(None, also=("event_id",))]
    reason: Annotated[str, field(max_length=500)] = ""


class RedactRun(Message, kw_only=True):
    id: Annotated[str, field(None, also=("run_id",))]
    reason: Annotated[str, field(max_length=500)] = ""


class RedactStep(Message, kw_only=True):
    """id: the step's row id, or its SDK step id."""

    id: Annotated[str, field(None, also=("step_id",))]
    reason: Annotated[str, field(max_length=500)] = ""


class Redacted(Message, kw_only=True):
    """payloads: how many were replaced; 0 when all were before. children: runs that were invoked, with payloads of
    their own."""

    id: str
    payloads: int
    children: list[str] = []


class ListRedactions(Message, kw_only=True):
    """target_id: only of this event, step or run."""

    target_id: str = ""
    limit: Annotated[int, field(ge=1, le=1000)] = 100
    cursor: str = ""


class RedactionEntry(Message, kw_only=True):
    """Who redacted what, when and why. target: event, step or run. payloads: how many were replaced."""

    id: str
    target: str
    target_id: str
    actor: str
    reason: str
    payloads: int
    at: datetime


class Redactions(Message, kw_only=True):
    redactions: list[RedactionEntry]
    next_cursor: str | None = None


redact_event = operation(
    "redaction.event", RedactEvent, Redacted,
    rest="POST /api/v1/events/{id}/redact", scope="events:redact", asks=("runs:redact",),
    errors=(EventNotFound, RunNotEnded),
    doc="Replaces the data of an event by a marker, also in steps that waited for it. There is no way back.",
)  # fmt: skip
redact_run = operation(
    "redaction.run", RedactRun, Redacted,
    rest="POST /api/v1/runs/{id}/redact", scope="runs:redact", asks=("events:redact",),
    errors=(RunNotFound, RunNotEnded),
    doc="Replaces input, output, error and history of a run and its steps by markers. There is no way back.",
)  # fmt: skip
redact_step = operation(
    "redaction.step", RedactStep, Redacted,
    rest="POST /api/v1/steps/redact", scope="runs:redact", errors=(RunNotFound, StepNotFound, RunNotEnded),
    doc="Replaces the payloads of one step by markers, also in its run's history. There is no way back.",
)  # fmt: skip
list_ = operation(
    "redaction.list", ListRedactions, Redactions,
    rest="GET /api/v1/redactions", scope="audit:read",
    doc="What was redacted, by whom and why, newest first.",
)  # fmt: skip
