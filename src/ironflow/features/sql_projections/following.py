"""One generation follows the log: reads the events after its cursor, runs their statements, moves the cursor.

The cursor that counts is the one in the place, changed in the transaction of the rows. The row in `sql_generations`
notes it afterwards, for those who look.
"""

import logging
from dataclasses import replace
from functools import partial

from ironflow.base.time import Millis
from ironflow.features.sql_projections.binding import values_of
from ironflow.features.sql_projections.rules import (
    Definition,
    Generation,
    decide_retry_at,
    followed_names,
    handler_of,
)
from ironflow.log.named import of_names_after, record_at
from ironflow.log.read import head, read_after
from ironflow.log.record import Record
from ironflow.storage.port import Database, Tx
from ironflow.storage.sandbox import Cursor, Failure, Sandbox, Work

logger = logging.getLogger(__name__)

BATCH = 1000
FIRST_BATCH = 100
# Data of one batch above which the next one has fewer events.
BATCH_BYTES = 4 * 1024 * 1024
# Batches of one generation before the others get their turn.
BATCHES = 4


class Follower:
    """Moves generations forward. Keeps in memory how far each place is, checked by the place at every batch."""

    def __init__(self, db: Database, sandbox: Sandbox, statement_ms: int) -> None:
        self._db = db
        self._sandbox = sandbox
        self._statement_ms = statement_ms
        self._cursors: dict[str, Cursor] = {}
        self._batch: dict[str, int] = {}

    def forget(self, place: str) -> None:
        self._cursors.pop(place, None)
        self._batch.pop(place, None)

    async def advance(self, generation: Generation, now: Millis) -> tuple[Generation, bool]:
        """The generation as it stands after a few batches, and whether there is more for it to do."""
        place = generation.place
        for _ in range(BATCHES):
            cursor = self._cursors.get(place)
            if cursor is None:
                cursor, generation = await self._found(generation, now)
            batch = self._batch.get(place, FIRST_BATCH)
            events, until, end = await self._db.read(
                partial(events_after, generation=generation, position=cursor.position, limit=batch)
            )
            self._batch[place] = _next_batch(batch, events)
            if until == cursor.position:
                self._cursors[place] = cursor
                return replace(generation, position=cursor.position), False
            work = self._work(generation.definition, events)
            to = Cursor(until, events[-1].id if events and events[-1].position == until else "")
            applied = await self._sandbox.apply(place, cursor.position, work, to, self._statement_ms)
            if applied.stale:
                # Another node was faster, or the place was made again.
                self._cursors.pop(place, None)
                return generation, False
            self._cursors.pop(place, None)
            if applied.position == to.position:
                self._cursors[place] = to
            generation = replace(generation, position=applied.position, updated_at=now)
            if applied.failure is not None:
                return _failed(generation, applied.failure, events, now), False
            if generation.failures and applied.position >= generation.failed_position:
                generation = replace(generation, failures=0, retry_at=0, failed_position=0, error="")
            if applied.position >= end:
                return generation, False
        return generation, True

    async def _found(self, generation: Generation, now: Millis) -> tuple[Cursor, Generation]:
        """The place's cursor. A place that is missing or not of this log is made again and filled from the start."""
        cursor = await self._sandbox.cursor(generation.place)
        if cursor is not None and await self._db.read(lambda tx: _is_of_log(tx, cursor)):
            return cursor, generation
        if cursor is not None or generation.position:
            logger.warning("projection is filled again", extra={"projection": generation.name, "lost": cursor is None})
        await self._sandbox.drop(generation.place)
        await self.make(generation.place, generation.definition)
        target = await self._db.read(head) if generation.position else generation.target
        return Cursor(0, ""), replace(generation, position=0, target=target, started_at=now)

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


def events_after(tx: Tx, generation: Generation, position: int, limit: int) -> tuple[list[Record], int, int]:
    """Followed events after `position`, how far that has looked, and the end of the log."""
    end = head(tx)
    definition, environment = generation.definition, generation.environment
    names = followed_names(definition)
    if names:
        found, until = of_names_after(tx, environment, names, position, max(end, position), limit)
        return found, until, end
    seen = read_after(tx, position, limit)
    found = [each for each in seen if each.environment == environment and each.kind in ("event", "entity")]
    return found, seen[-1].position if seen else position, end


def _is_of_log(tx: Tx, cursor: Cursor) -> bool:
    """Whether the place follows this log, and not the one of a backup that was restored since."""
    if cursor.position > head(tx):
        return False
    record = record_at(tx, cursor.position) if cursor.event_id else None
    return record is None or record.id == cursor.event_id


def _next_batch(batch: int, events: list[Record]) -> int:
    size = sum(len(each.data) for each in events)
    if size > BATCH_BYTES:
        return max(batch // 4, 1)
    return min(batch * 2, BATCH) if size < BATCH_BYTES // 4 else batch


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
