# Generated from ironflow/sdk/client/features/events.py by generate_sync; edit that file.
"""`client.events`: what was recorded."""

from builtins import list as list_
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ironflow.features.events import contract
from ironflow.features.events.contract import Imported, NameCount
from ironflow.features.redaction import contract as redaction
from ironflow.features.redaction.contract import Redacted
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client.views import Event, EventWithRuns, view
from ironflow.sdk.values.payload import to_payload


class Events:
    """Recorded events."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(self, event_id: str) -> EventWithRuns:
        """One event with the runs that it started. Raises EventNotFound."""
        return view(EventWithRuns, self._calls.call(contract.get, contract.GetEvent(id=event_id)))

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
    ) -> Iterator[Event]:
        """Events, newest first; asks for the next page when it is needed.

        name, names: may hold `*` and `>`. search: text within the data.
        """
        request = contract.ListEvents(
            name=name, names=[*names], source=source, search=search, since=since, until=until, limit=page_size
        )
        for page in self._calls.pages(contract.list_, request):
            for event in page.events:
                yield view(Event, event)

    def import_batch(self, events: Sequence[Mapping[str, Any]], *, trigger: bool = False) -> Imported:
        """Adds events of another log, up to 1,000, in one transaction; those whose ids are there are passed over.

        events: as `ironflow event export` writes them, with `id`, `name`, `data` and `timestamp`, oldest first.
        trigger: they start runs and end waits, as if emitted now. Raises ImportRefused.
        """
        items = [to_payload(event, f"event {place} of the import") for place, event in enumerate(events)]
        return self._calls.call(contract.import_, contract.ImportEvents(events=items, trigger=trigger))

    def redact(self, event_id: str, *, reason: str = "") -> Redacted:
        """Replaces the data of an event by a marker, for ever. Raises EventNotFound, RunNotEnded."""
        request = redaction.RedactEvent(id=event_id, reason=reason)
        return self._calls.call(redaction.redact_event, request)

    def names(
        self, *, since: datetime | None = None, until: datetime | None = None, source: str = ""
    ) -> list_[NameCount]:
        """The names seen among the newest events, with counts."""
        request = contract.ListEventNames(since=since, until=until, source=source)
        return (self._calls.call(contract.names, request)).names
