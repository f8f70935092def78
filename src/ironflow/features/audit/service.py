"""The operations that read the audit trail."""

from collections.abc import Iterator
from typing import Any

from ironflow.base.call import Call
from ironflow.features.audit import contract, rules
from ironflow.features.audit.rules import Cursor
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.audit_notes.in_tx import Note
from ironflow.features.time_travel import in_tx as past
from ironflow.features.time_travel.in_tx import Entry, FactFilter, Mark, Place, entries
from ironflow.storage.port import Database, Tx

TRAIL_LIMIT_DEFAULT = 1_000
LIST_LIMIT_DEFAULT = 100
# One answer looks at no more facts than this, however few of them are wanted.
CHUNK = 100
CHUNKS_MAX = 50
COUNTED_MAX = 10_000


class Audit:
    """The audit feature. retention_days: how long the server keeps ended runs, 0 for ever."""

    def __init__(self, db: Database, retention_days: float) -> None:
        self._db = db
        self._retention_days = retention_days

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.trail: self.trail,
            contract.list_: self.list_,
            contract.settings: self.settings,
        }

    async def trail(self, call: Call, request: contract.GetAuditTrail) -> contract.AuditTrail:
        since, until = rules.time_range(request.from_timestamp, request.to_timestamp)
        offset = rules.offset_of(request.cursor)
        limit = request.limit or TRAIL_LIMIT_DEFAULT

        def look(tx: Tx) -> contract.AuditTrail:
            run, kept = past.recorded(tx, call.environment, request.run_id)
            selected = [
                entry
                for entry in entries(kept)
                if since <= entry.at < until and rules.is_selected(entry, request.event_type)
            ]
            page = selected[offset : offset + limit]
            events = [rules.event_message(entry, run.environment, run.function_id) for entry in page]
            return contract.AuditTrail(
                events=events,
                total_count=len(selected),
                next_cursor=str(offset + limit) if len(selected) > offset + limit else None,
                entries=[rules.entry_message(event) for event in events],
            )

        return await self._db.read(look)

    async def list_(self, call: Call, request: contract.ListAudit) -> contract.AuditPage:
        since, until = rules.time_range(request.from_timestamp, request.to_timestamp)
        kinds = frozenset[str]() if request.only else rules.kinds_of(request.event_type)
        wanted = FactFilter(since, until, kinds, request.run_id, request.function_id)
        cursor = rules.cursor_of(request.cursor)

        def look(tx: Tx) -> contract.AuditPage:
            events, last = _page(tx, call, request, wanted, cursor)
            all_here = last is None and not request.cursor
            return contract.AuditPage(
                events=events,
                next_cursor=rules.cursor_text(last) if last is not None else "",
                retention_days=self._retention_days,
                total_count=len(events) if all_here else _count(tx, call, request, wanted),
            )

        return await self._db.read(look)

    async def settings(self, call: Call, request: contract.GetAuditSettings) -> contract.AuditSettings:
        return contract.AuditSettings(retention_days=self._retention_days)


def _page(
    tx: Tx, call: Call, request: contract.ListAudit, wanted: FactFilter, cursor: Cursor
) -> tuple[list[contract.AuditEvent], Cursor | None]:
    """The events that follow `cursor` back in time, and where the next page goes on; None when nothing is left."""
    limit, environment = request.limit or LIST_LIMIT_DEFAULT, call.environment
    actor, filters = _actor(request), _note_filters(call, request, wanted)
    events: list[contract.AuditEvent] = []
    last = cursor
    for _ in range(CHUNKS_MAX):
        place = Place(last.at, last.run_id, last.version)
        marks = past.newest(tx, wanted, place, CHUNK)
        notes = [] if wanted.run_id else audit_notes.newest(tx, filters, place.at, place.run_id, CHUNK)
        by_fact = _entries_of(tx, [mark for mark in marks if _is_candidate(mark, environment, wanted)])
        # The newest of both: what is cut off comes with the next chunk.
        chunk = sorted([*marks, *notes], key=_place, reverse=True)[:CHUNK]
        for each in chunk:
            seen = last.place if _place(each) == Place(last.at, last.run_id, last.version) else None
            for number, event in _events(each, by_fact, request.event_type, actor):
                if seen is not None and number >= seen:
                    continue
                if len(events) == limit:
                    return events, last
                events.append(event)
                last = Cursor(_place(each).at, _place(each).version, number, _place(each).run_id)
        if len(marks) < CHUNK and len(notes) < CHUNK and len(chunk) == len(marks) + len(notes):
            return events, None
        end = _place(chunk[-1])
        last = Cursor(end.at, end.version, 0, end.run_id)
    return events, last


def _count(tx: Tx, call: Call, request: contract.ListAudit, wanted: FactFilter) -> int:
    facts = past.count_newest(tx, call.environment, wanted, COUNTED_MAX)
    notes = 0 if wanted.run_id else audit_notes.count(tx, _note_filters(call, request, wanted), COUNTED_MAX)
    return facts + notes


def _note_filters(call: Call, request: contract.ListAudit, wanted: FactFilter) -> dict[str, object]:
    # What belongs to no environment, such as a request with a wrong key, is for callers of all.
    environments = [call.environment] if call.principal.environment is not None else [call.environment, ""]
    return {
        "environments": environments,
        "since": wanted.since,
        "until": wanted.until,
        "function_id": wanted.function_id,
        "event_type": request.event_type,
        "actor": _actor(request),
        # A recorded run has facts of them.
        "with_controls": int(bool(request.only) or request.event_type.startswith("run_control.")),
    }


def _events(
    each: Mark | Note, by_fact: dict[tuple[str, int], list[Entry]], event_type: str, actor: str
) -> Iterator[tuple[int, contract.AuditEvent]]:
    """The audit events of a fact or a note, last first, each with its number within it."""
    if isinstance(each, Note):
        yield 0, rules.note_message(each)
        return
    for entry in reversed(by_fact.get((each.run_id, each.version), ())):
        if rules.is_selected(entry, event_type, actor):
            yield entry.place, rules.event_message(entry, each.environment or "", each.function_id or "")


def _place(each: Mark | Note) -> Place:
    """Where it stands among facts and notes; no run has a note's id."""
    return Place(each.at, each.id, 0) if isinstance(each, Note) else each.place


def _actor(request: contract.ListAudit) -> str:
    return f"key:{request.api_key_id}" if request.api_key_id else ""


def _is_candidate(mark: Mark, environment: str, wanted: FactFilter) -> bool:
    return (
        mark.environment == environment
        and mark.kind in wanted.kinds
        and (not wanted.function_id or mark.function_id == wanted.function_id)
    )


def _entries_of(tx: Tx, marks: list[Mark]) -> dict[tuple[str, int], list[Entry]]:
    """The entries of the facts with these marks. An entry depends on the run before, so whole histories are read."""
    if not marks:
        return {}
    found: dict[tuple[str, int], list[Entry]] = {(mark.run_id, mark.version): [] for mark in marks}
    for kept in past.histories(tx, sorted({mark.run_id for mark in marks})).values():
        for entry in entries(kept):
            if (entry.run_id, entry.version) in found:
                found[entry.run_id, entry.version].append(entry)
    return found
