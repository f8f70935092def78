"""One generation follows the log: reads the events after its cursor, runs their statements, moves the cursor.

The cursor that counts is the one in the database of the user's tables, changed in the transaction of the rows. The row
in `sql_generations` notes it afterwards, for readers of its status and for retention.
"""

import logging
from dataclasses import dataclass, replace

from ironflow.base.time import Millis
from ironflow.features.sql_projections.binding import values_of
from ironflow.features.sql_projections.rules import Definition, Generation, decide_retry_at, handler_of
from ironflow.log.follower import Follower
from ironflow.log.read import head, records_at
from ironflow.log.record import Record
from ironflow.log.scan import Filter
from ironflow.storage.port import Database, Tx
from ironflow.storage.sandbox import Cursor, Failure, Sandbox, Work

logger = logging.getLogger(__name__)

BATCH = 1000
FIRST_BATCH = 100
# Data of one batch.
BATCH_BYTES = 4 * 1024 * 1024
# Batches of one generation before the others get their turn.
BATCHES = 4


@dataclass(slots=True)
class _Place:
    """A generation's follower, and the id of the event at its cursor, empty when that is none it follows."""

    follower: Follower
    event_id: str

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.follower.position, self.event_id)


class Applier:
    """Applies the log to generations. Keeps their followers in memory; every batch checks the cursor in the place."""

    def __init__(self, db: Database, sandbox: Sandbox, statement_ms: int) -> None:
        self._db = db
        self._sandbox = sandbox
        self._statement_ms = statement_ms
        self._places: dict[str, _Place] = {}

    def forget(self, place: str) -> None:
        self._places.pop(place, None)

    async def advance(self, generation: Generation, now: Millis) -> tuple[Generation, bool]:
        """The generation as it stands after a few batches, and whether there is more for it to do."""
        for _ in range(BATCHES):
            place = self._places.get(generation.place)
            if place is None:
                place, generation = await self._open(generation, now)
            follower, before = place.follower, place.cursor
            page = await self._db.read(follower.read)
            if page.reached == before.position:
                self._places[generation.place] = place
                return replace(generation, position=before.position), False
            events = page.items
            work = self._work(generation.definition, events)
            to = Cursor(page.reached, events[-1].id if events and events[-1].position == page.reached else "")
            # Until it is known how far this came, the cursor in memory is not to be trusted.
            self._places.pop(generation.place, None)
            applied = await self._sandbox.apply(generation.place, before.position, work, to, self._statement_ms)
            if applied.stale:
                # Another node was faster, or the place was made again.
                return generation, False
            if applied.position == to.position:
                follower.advance(page.reached, events)
                self._places[generation.place] = _Place(follower, to.event_id)
            generation = replace(generation, position=applied.position, updated_at=now)
            if applied.failure is not None:
                return _failed(generation, applied.failure, events, now), False
            if generation.failures and applied.position >= generation.failed_position:
                generation = replace(generation, failures=0, retry_at=0, failed_position=0, error="")
            if applied.position >= follower.end:
                return generation, False
        return generation, True

    async def _open(self, generation: Generation, now: Millis) -> tuple[_Place, Generation]:
        """Begins at the place's cursor. A place that is missing or not of this log is made again and filled anew."""
        cursor = await self._sandbox.cursor(generation.place)
        if cursor is None or not await self._db.read(lambda tx, cursor=cursor: _is_of_log(tx, cursor)):
            if cursor is not None or generation.position:
                extra = {"projection": generation.name, "lost": cursor is None}
                logger.warning("projection is filled again", extra=extra)
            await self._sandbox.drop(generation.place)
            await self.make(generation.place, generation.definition)
            target = await self._db.read(head) if generation.position else generation.target
            cursor, generation = Cursor(0, ""), replace(generation, position=0, target=target, started_at=now)
        wanted = Filter(generation.environment, names=generation.definition.events)
        follower = Follower(wanted, cursor.position, batch_max=BATCH, bytes_max=BATCH_BYTES)
        follower.batch = FIRST_BATCH
        return _Place(follower, cursor.event_id), generation

    async def make(self, place: str, definition: Definition) -> None:
        """Makes a place, if there is none, with its tables empty. Raises QueryRefused."""
        statements = [(sql, len(params)) for sql, params in definition.statements.values()]
        await self._sandbox.make(place, definition.tables, statements)

    def _work(self, definition: Definition, events: list[Record]) -> list[Work]:
        found: list[Work] = []
        for record in events:
            handler = handler_of(definition, record.name)
            if handler is not None:
                sql, params = handler
                values = values_of(params, record, self._sandbox.dialect)
                found.append(Work(Cursor(record.position, record.id), sql, values))
        return found


def _is_of_log(tx: Tx, cursor: Cursor) -> bool:
    """Whether the place follows this log, and not the one of a backup that was restored since."""
    if cursor.position > head(tx):
        return False
    there = records_at(tx, [cursor.position]) if cursor.event_id else []
    return not there or there[0].id == cursor.event_id


def _failed(generation: Generation, failure: Failure, events: list[Record], now: Millis) -> Generation:
    record = next(each for each in events if each.position == failure.cursor.position)
    failures = generation.failures + 1 if generation.failed_position == record.position else 1
    retry_at = decide_retry_at(failures, now)
    logger.warning(
        "projection statement failed",
        extra={"projection": generation.name, "event_id": record.id, "failures": failures, "error": failure.message},
    )
    message = f"Event {record.id} ({record.name}, position {record.position}) cannot be applied: {failure.message}."
    return replace(
        generation,
        failures=failures,
        retry_at=retry_at or 0,
        failed_position=record.position,
        error=message,
        updated_at=now,
    )
