"""What happens when somebody reads the audit trail."""

from collections.abc import Iterator
from typing import Any

from ironflow.base.call import Call
from ironflow.features.audit import contract, rules, store
from ironflow.features.audit.rules import Cursor
from ironflow.features.audit.store import Note
from ironflow.features.time_travel import in_tx as past
from ironflow.features.time_travel.in_tx import Mark, Place, Wanted
from ironflow.features.time_travel.telling import Entry, entries
from ironflow.storage.port import Database, Tx

TRAIL_LIMIT_DEFAULT = 1_000
LIST_LIMIT_DEFAULT = 100
# One answer looks at no more facts than this, however few of them are wanted.
CHUNK = 100
CHUNKS_MAX = 50
COUNTED_MAX = 10_000


class Audit:
    """The audit room. retention_days: how long the server keeps ended runs, 0 for ever."""

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
            meant = [
                entry
                for entry in entries(kept)
                if since <= entry.at < until and rules.is_meant(entry, request.event_type)
            ]
            page = meant[offset : offset + limit]
            events = [rules.event_message(entry, run.environment, run.function_id) for entry in page]
            return contract.AuditTrail(
                events=events,
                total_count=len(meant),
                next_cursor=str(offset + limit) if len(meant) > offset + limit else None,
                entries=[rules.entry_message(event) for event in events],
            )

        return await self._db.read(look)

    async def list_(self, call: Call, request: contract.ListAudit) -> contract.AuditPage:
        since, until = rules.time_range(request.from_timestamp, request.to_timestamp)
        wanted = Wanted(since, until, rules.kinds_of(request.event_type), request.run_id, request.function_id)
        cursor = rules.cursor_of(request.cursor)

        def look(tx: Tx) -> contract.AuditPage:
            events, last = _page(tx, call.environment, request, wanted, cursor)
            all_here = last is None and not request.cursor
            return contract.AuditPage(
                events=events,
                next_cursor=rules.cursor_text(last) if last is not None else "",
                retention_days=self._retention_days,
                total_count=len(events) if all_here else _count(tx, call.environment, request, wanted),
            )

        return await self._db.read(look)

    async def settings(self, call: Call, request: contract.GetAuditSettings) -> contract.AuditSettings:
        return contract.AuditSettings(retention_days=self._retention_days)


def _page(
    tx: Tx, environment: str, request: contract.ListAudit, wanted: Wanted, cursor: Cursor
) -> tuple[list[contract.AuditEvent], Cursor | None]:
    """The events that follow `cursor` back in time, and where the next page goes on; None when nothing is left."""
    limit = request.limit or LIST_LIMIT_DEFAULT
    actor = _actor(request)
    events: list[contract.AuditEvent] = []
    last = cursor
    for _ in range(CHUNKS_MAX):
        place = Place(last.at, last.run_id, last.version)
        marks = past.newest(tx, wanted, place, CHUNK)
        notes = store.newest(tx, environment, wanted, request.event_type, actor, place, CHUNK)
        told = _told(tx, [mark for mark in marks if _is_meant(mark, environment, wanted)])
        # The newest of both: what is cut off comes with the next chunk.
        chunk = sorted([*marks, *notes], key=lambda each: each.place, reverse=True)[:CHUNK]
        for each in chunk:
            seen = last.place if each.place == Place(last.at, last.run_id, last.version) else None
            for number, event in _events(each, told, request.event_type, actor):
                if seen is not None and number >= seen:
                    continue
                if len(events) == limit:
                    return events, last
                events.append(event)
                last = Cursor(each.place.at, each.place.version, number, each.place.run_id)
        if len(marks) < CHUNK and len(notes) < CHUNK and len(chunk) == len(marks) + len(notes):
            return events, None
        last = Cursor(chunk[-1].place.at, chunk[-1].place.version, 0, chunk[-1].place.run_id)
    return events, last


def _count(tx: Tx, environment: str, request: contract.ListAudit, wanted: Wanted) -> int:
    facts = past.count_newest(tx, environment, wanted, COUNTED_MAX)
    return facts + store.count(tx, environment, wanted, request.event_type, _actor(request), COUNTED_MAX)


def _events(
    each: Mark | Note, told: dict[tuple[str, int], list[Entry]], event_type: str, actor: str
) -> Iterator[tuple[int, contract.AuditEvent]]:
    """What there is to tell of a fact or a note, last first, each with its place within it."""
    if isinstance(each, Note):
        yield 0, rules.note_message(each)
        return
    for entry in reversed(told.get((each.run_id, each.version), ())):
        if rules.is_meant(entry, event_type, actor):
            yield entry.place, rules.event_message(entry, each.environment or "", each.function_id or "")


def _actor(request: contract.ListAudit) -> str:
    return f"key:{request.api_key_id}" if request.api_key_id else ""


def _is_meant(mark: Mark, environment: str, wanted: Wanted) -> bool:
    return (
        mark.environment == environment
        and mark.kind in wanted.kinds
        and (not wanted.function_id or mark.function_id == wanted.function_id)
    )


def _told(tx: Tx, marks: list[Mark]) -> dict[tuple[str, int], list[Entry]]:
    """What is told of the facts with these marks. A fact is told by what its run was before: whole pasts are read."""
    if not marks:
        return {}
    told: dict[tuple[str, int], list[Entry]] = {(mark.run_id, mark.version): [] for mark in marks}
    for kept in past.histories(tx, sorted({mark.run_id for mark in marks})).values():
        for entry in entries(kept):
            if (entry.run_id, entry.version) in told:
                told[entry.run_id, entry.version].append(entry)
    return told
