# Made from ironflow/sdk/rooms/events.py by ironflow.sdk.generate_sync: change that one and run it.
"""`client.events`: what was recorded."""

from builtins import list as list_
from collections.abc import Iterator, Sequence
from datetime import datetime

from ironflow.features.events import contract
from ironflow.features.events.contract import NameCount
from ironflow.sdk._sync_client.calls import Calls
from ironflow.sdk.views import Event, view


class Events:
    """Recorded events."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(self, event_id: str) -> Event:
        """One event. Raises EventNotFound."""
        return view(Event, self._calls.call(contract.get, contract.GetEvent(id=event_id)))

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

    def names(
        self, *, since: datetime | None = None, until: datetime | None = None, source: str = ""
    ) -> list_[NameCount]:
        """The names seen among the newest events, with counts."""
        request = contract.ListEventNames(since=since, until=until, source=source)
        return (self._calls.call(contract.names, request)).names
