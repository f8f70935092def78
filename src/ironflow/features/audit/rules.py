"""Which entries an audit trail shows, and how its pages are cut; pure."""

from collections.abc import Sequence
from typing import NamedTuple

from ironflow.base.json import Json, write_json
from ironflow.base.time import Millis, parse_time, to_datetime
from ironflow.features.audit.contract import AuditEntry, AuditEvent, InvalidCursor
from ironflow.features.audit_notes.in_tx import Note
from ironflow.features.time_travel.in_tx import KINDS, Entry

END_OF_TIME: Millis = 2**53
_LAST = 2**31


class Cursor(NamedTuple):
    """The last entry of a page of an environment's trail, which goes back in time; version and place: of its fact."""

    at: Millis
    version: int
    place: int
    run_id: str


# Before the newest entry; no run's id is greater.
START = Cursor(END_OF_TIME, _LAST, _LAST, "~")


def time_range(since: str, until: str) -> tuple[Millis, Millis]:
    """The times that two RFC 3339 texts, each empty for no bound, stand for. Raises InvalidArgument."""
    return (parse_time(since) if since else 0), (parse_time(until) if until else END_OF_TIME)


def kinds_of(event_type: str) -> frozenset[str]:
    """The kinds of facts that entries of that type come from: of all types when empty, none when unknown."""
    if not event_type:
        return frozenset[str]().union(*KINDS.values())
    return KINDS.get(event_type, frozenset())


def is_selected(entry: Entry, event_type: str, actor: str = "") -> bool:
    """Whether the entry has that type and that actor; empty for any."""
    return (not event_type or entry.type == event_type) and (not actor or entry.actor == actor)


def cursor_text(cursor: Cursor) -> str:
    return f"{cursor.at}.{cursor.version}.{cursor.place}.{cursor.run_id}"


def cursor_of(text: str) -> Cursor:
    """The cursor that the text names; the start for empty. Raises InvalidCursor."""
    if not text:
        return START
    *numbers, run_id = text.split(".", 3)
    if len(numbers) != 3 or not _are_numbers(numbers):
        raise InvalidCursor(f"{text[:40]!r} is not a cursor of this list. Pass next_cursor as it was given.")
    at, version, place = map(int, numbers)
    return Cursor(at, version, place, run_id)


def offset_of(text: str) -> int:
    """How many events of a run's trail came before; 0 for an empty cursor. Raises InvalidCursor."""
    if text and not _are_numbers([text]):
        raise InvalidCursor(f"{text[:40]!r} is not a cursor of this trail. Pass next_cursor as it was given.")
    return int(text or 0)


def _are_numbers(texts: Sequence[str]) -> bool:
    # 2**53 has 16 digits.
    return all(text.isascii() and text.isdigit() and len(text) <= 16 for text in texts)


def event_message(entry: Entry, environment: str, function_id: str) -> AuditEvent:
    """The entry as clients see it."""
    return AuditEvent(
        id=entry.id,
        run_id=entry.run_id,
        function_id=function_id,
        step_id=entry.step.step_id if entry.step is not None else None,
        event_type=entry.type,
        payload=_payload(entry),
        metadata={"actor": entry.actor} if entry.actor else None,
        created_at=to_datetime(entry.at),
        environment_id=environment,
    )


def note_message(note: Note) -> AuditEvent:
    """The note as clients see it: an event without a run."""
    return AuditEvent(
        id=note.id,
        run_id="",
        function_id=note.function_id,
        event_type=note.event_type,
        payload=Json(note.payload.encode()),
        metadata={"actor": note.actor},
        created_at=to_datetime(note.at),
        environment_id=note.environment,
    )


def entry_message(event: AuditEvent) -> AuditEntry:
    """The same in the other shape."""
    return AuditEntry(id=event.id, type=event.event_type, timestamp=event.created_at, data=event.payload)


def _payload(entry: Entry) -> Json:
    """The entry's data with its summary, without fields that are None."""
    fields = {name: value for name, value in entry.data.items() if value is not None}
    return Json(write_json(fields | {"summary": entry.summary}))
