"""What happens when somebody reads the audit trail."""

from typing import Any

from ironflow.base.call import Call
from ironflow.features.audit import contract, rules
from ironflow.features.audit.rules import Cursor
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
                total_count=len(events) if all_here else past.count_newest(tx, call.environment, wanted, COUNTED_MAX),
            )

        return await self._db.read(look)

    async def settings(self, call: Call, request: contract.GetAuditSettings) -> contract.AuditSettings:
        return contract.AuditSettings(retention_days=self._retention_days)


def _page(
    tx: Tx, environment: str, request: contract.ListAudit, wanted: Wanted, cursor: Cursor
) -> tuple[list[contract.AuditEvent], Cursor | None]:
    """The events that follow `cursor` back in time, and where the next page goes on; None when nothing is left."""
    limit = request.limit or LIST_LIMIT_DEFAULT
    actor = f"key:{request.api_key_id}" if request.api_key_id else ""
    events: list[contract.AuditEvent] = []
    last = cursor
    for _ in range(CHUNKS_MAX):
        marks = past.newest(tx, wanted, Place(last.at, last.run_id, last.version), CHUNK)
        told = _told(tx, [mark for mark in marks if _is_meant(mark, environment, wanted)])
        for mark in marks:
            seen = last.place if (mark.run_id, mark.version) == (last.run_id, last.version) else None
            for entry in reversed(told.get((mark.run_id, mark.version), ())):
                if (seen is not None and entry.place >= seen) or not rules.is_meant(entry, request.event_type, actor):
                    continue
                if len(events) == limit:
                    return events, last
                events.append(rules.event_message(entry, environment, mark.function_id or ""))
                last = Cursor(mark.at, mark.version, entry.place, mark.run_id)
        if len(marks) < CHUNK:
            return events, None
        last = Cursor(marks[-1].at, marks[-1].version, 0, marks[-1].run_id)
    return events, last


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
