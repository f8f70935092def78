"""`client.events`: what was recorded."""

from asyncio import sleep
from builtins import list as list_
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ironflow.features.event_triggers import contract as event_triggers
from ironflow.features.events import contract
from ironflow.features.events.contract import Imported, NameCount
from ironflow.features.redaction import contract as redaction
from ironflow.features.redaction.contract import Redacted
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing
from ironflow.sdk.client.views import Event, EventWithRuns, view
from ironflow.sdk.client.views.run_results import next_look_s
from ironflow.sdk.values.payload import to_payload

# Runs that one request starts at most.
BATCH = 200


class Triggered(msgspec.Struct, kw_only=True):
    """How many recorded events were looked at, by what became of them; fields as of RecordedTriggered.

    run_ids: of the runs started. next_cursor: where to go on, when `limit` ended it.
    """

    started: int = 0
    known: int = 0
    unmatched: int = 0
    refused: int = 0
    redacted: int = 0
    run_ids: list_[str] = []
    next_cursor: str | None = None


class Events:
    """Recorded events."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get(self, event_id: str) -> EventWithRuns:
        """One event with the runs that it started. Raises EventNotFound."""
        return view(EventWithRuns, await self._calls.call(contract.get, contract.GetEvent(id=event_id)))

    def list(
        self,
        *,
        name: str = "",
        names: Sequence[str] = (),
        source: str = "",
        search: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 100,
    ) -> Listing[Event]:
        """Events, newest first; asks for the next page when it is needed.

        name, names: may hold `*` and `>`. search: text within the data.
        """
        request = contract.ListEvents(
            name=name, names=[*names], source=source, search=search, since=since, until=until, limit=page_size
        )
        return Listing(self._calls, contract.list_, request, lambda page: [view(Event, event) for event in page.events])

    async def import_batch(self, events: Sequence[Mapping[str, Any]], *, trigger: bool = False) -> Imported:
        """Adds events of another log, up to 1,000, in one transaction; those whose ids are there are passed over.

        events: as `ironflow event export` writes them, with `id`, `name`, `data` and `timestamp`, oldest first.
        trigger: they start runs and end waits, as if emitted now. Raises ImportRefused.
        """
        items = [to_payload(event, f"event {place} of the import") for place, event in enumerate(events)]
        return await self._calls.call(contract.import_, contract.ImportEvents(events=items, trigger=trigger))

    async def trigger(
        self,
        function_id: str,
        *,
        name: str = "",
        names: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        failed: bool = False,
        dry_run: bool = False,
        limit: int | None = None,
        in_flight: int = 100,
        cursor: str = "",
    ) -> Triggered:
        """Gives recorded events to one function that was not there, or was broken, when they came; each once.

        Nothing else notices them. It returns when the last run was started, not when they have ended, and it waits
        while `in_flight` runs that were started this way have not ended. When it is interrupted, call it again.

        name, names: may hold `*` and `>`; without any, all events that the function's triggers match. until: now unless
        given. failed: also events whose runs of the function have all failed. dry_run: only count. limit: how many runs
        are started at most. Raises FunctionNotFound, FunctionNotActive, InvalidEventTrigger.
        """
        total = Triggered(next_cursor=cursor or None)
        wanted = [each for each in (name, *names) if each]
        pause_s = None
        while limit is None or dry_run or total.started < limit:
            request = event_triggers.TriggerRecorded(
                function_id=function_id,
                names=wanted,
                since=since,
                until=until,
                failed=failed,
                dry_run=dry_run,
                limit=BATCH if limit is None or dry_run else min(BATCH, limit - total.started),
                in_flight=in_flight,
                cursor=total.next_cursor or "",
            )
            answer = await self._calls.call(event_triggers.trigger, request)
            add_batch(total, answer)
            until = answer.until
            if answer.next_cursor is None:
                break
            pause_s = next_look_s(pause_s if not answer.started else None)
            if answer.waiting:
                await sleep(pause_s)
        return total

    async def redact(self, event_id: str, *, reason: str = "") -> Redacted:
        """Replaces the data of an event by a marker, for ever. Raises EventNotFound, RunNotEnded."""
        request = redaction.RedactEvent(id=event_id, reason=reason)
        return await self._calls.call(redaction.redact_event, request)

    async def names(
        self, *, since: datetime | None = None, until: datetime | None = None, source: str = ""
    ) -> list_[NameCount]:
        """The names seen among the newest events, with counts."""
        request = contract.ListEventNames(since=since, until=until, source=source)
        return (await self._calls.call(contract.names, request)).names


def add_batch(total: Triggered, batch: event_triggers.RecordedTriggered) -> None:
    """Adds the counts of one batch to those before it."""
    total.started += batch.started
    total.known += batch.known
    total.unmatched += batch.unmatched
    total.refused += batch.refused
    total.redacted += batch.redacted
    total.run_ids += batch.run_ids
    total.next_cursor = batch.next_cursor
