"""Looking back: a wait that begins now finds events that were appended before it."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from ironflow.features.waits.rules import Unmatched, Wait
from ironflow.log.follower import Follower
from ironflow.log.record import Record
from ironflow.log.scan import Filter
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

PAGE = 500
# The most events of a name that are looked at from one place on.
EVENTS_MAX = 200_000


@dataclass(slots=True)
class _Search:
    """One name of events. missing: the waits that have found none. seen: how many events were looked at."""

    follower: Follower
    missing: Unmatched
    seen: int = 0

    def is_over(self, last: int) -> bool:
        return not self.missing or self.follower.position >= last or self.seen >= EVENTS_MAX


class LookBack:
    """Finds the first event of each wait after a position and up to `last`, a page at a time.

    waits: of one run, or of runs whose step ids differ. last: not beyond the head of the log. taken: ids of events that
    do not count.
    """

    def __init__(self, waits: Collection[Wait], position: int, last: int, taken: Collection[str]) -> None:
        self._last, self._taken = last, taken
        self.found: dict[str, Record] = {}
        by_event: dict[tuple[str, str], list[Wait]] = {}
        for wait in waits:
            by_event.setdefault((wait.environment, wait.event), []).append(wait)
        self._searches = [
            _Search(
                Follower(Filter(environment, names=(event,)), position, until=last, head=last, batch_max=PAGE),
                Unmatched(missing),
            )
            for (environment, event), missing in by_event.items()
        ]

    @property
    def is_over(self) -> bool:
        """Whether every wait has its event, or there are no more to look at."""
        return all(each.is_over(self._last) for each in self._searches)

    @property
    def seen(self) -> int:
        """How many events were looked at."""
        return sum(each.seen for each in self._searches)

    def read(self, tx: Tx) -> None:
        """Looks at the next page of events of one name."""
        search = next(each for each in self._searches if not each.is_over(self._last))
        page = search.follower.read(tx)
        for record in page.items:
            if record.id in self._taken:
                continue
            for wait in search.missing.take(record):
                self.found[wait.step_id] = record
        search.seen += len(page.items)
        search.follower.advance(page.reached, page.items)

    def warn(self) -> None:
        """Logs each name with events that were not looked at."""
        for search in self._searches:
            if search.missing and search.follower.position < self._last:
                wait = search.missing.any()
                fields = {"event_name": wait.event, "events": search.seen, "run_id": wait.run_id}
                logger.warning("look-back ended before the last event", extra=fields)


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found before a transaction, up to a position. tries: how often it was looked for."""

    position: int
    found: dict[str, Record]
    tries: int


class LookFurther(Exception):
    """There are more events than a transaction looks at. `look` does it outside, then the transaction is repeated.

    of_run: waits that count events from the start of their run on; of_execution: those that count them since the
    execution began, as all do for which there are too many. Each with its position.
    """

    def __init__(
        self,
        of_run: tuple[list[Wait], int],
        of_execution: tuple[list[Wait], int],
        last: int,
        taken: Collection[str],
        before: Looked | None,
    ) -> None:
        super().__init__()
        self._of_run, self._of_execution = of_run, of_execution
        self._last, self._taken, self._before = last, taken, before

    async def look(self, db: Database) -> Looked:
        """Looks page by page, each in a transaction of its own that reads."""
        found = dict(self._before.found) if self._before is not None else {}
        (of_run, began), (of_execution, execution_began) = self._of_run, self._of_execution
        found |= await self._first_matches(db, of_run, began, found)
        found |= await self._first_matches(db, [*of_execution, *of_run], execution_began, found)
        return Looked(self._last, found, self._before.tries + 1 if self._before is not None else 1)

    async def _first_matches(
        self, db: Database, waits: list[Wait], position: int, found: Collection[str]
    ) -> dict[str, Record]:
        look = LookBack([each for each in waits if each.step_id not in found], position, self._last, self._taken)
        while not look.is_over:
            await db.read(look.read)
        look.warn()
        return look.found
