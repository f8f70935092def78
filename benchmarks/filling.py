"""Fills a new database with a long log, by the log's own statements."""

from pathlib import Path

from ironflow.base.time import Millis
from ironflow.log import heads
from ironflow.log.append import append
from ironflow.log.heads import Head
from ironflow.log.record import Record
from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database
from ironflow.storage.port import Tx

PIECE = 20_000
# The stream `long` has that many events, spread over the whole log.
LONG = 10_000
# Of ten events one is `counted`, one of an entity, the others of many names and sources.
STREAMS, NAMES, SOURCES = 50_000, 100, 20
# From the first event to the last.
SPAN_MS = 30 * 24 * 3600 * 1000
RARE = "rare.first"


async def fill(file: Path, events: int, until: Millis) -> None:
    """Writes `events` events into the log of a new database, the last one at `until`. events: at least 2 * LONG."""
    database = await open_database(str(file), LocalNotifier(), until)
    try:
        for first in range(0, events, PIECE):
            numbers = range(first, min(first + PIECE, events))
            await database.write(lambda tx, numbers=numbers: _put(tx, numbers, events, until))
    finally:
        await database.close()


def event_id(number: int) -> str:
    return f"evt_{number:026d}"


def time_of(number: int, events: int, until: Millis) -> Millis:
    return until - SPAN_MS + SPAN_MS * number // events


def _put(tx: Tx, numbers: range, events: int, until: Millis) -> None:
    entities = {number: _entity(number, events) for number in numbers}
    before = heads.hold(tx, {("default", entity) for entity in entities.values() if entity}, until)
    after = dict(before)
    records: list[Record] = []
    for number in numbers:
        at = time_of(number, events, until)
        entity = entities[number]
        if entity:
            head = after["default", entity]
            version = head.version + 1
            after["default", entity] = Head("default", entity, "bench", version, version, head.created_at or at, at)
            records.append(_record(number, at, "bench.plain", entity, version))
        else:
            records.append(_record(number, at, _name(number)))
    heads.save(tx, before, after)
    append(tx, records)


def _entity(number: int, events: int) -> str:
    if number % (events // LONG) == 0 and number < events // LONG * LONG:
        return "long"
    return f"filled-{number // 10 % STREAMS}" if number % 10 == 3 else ""


def _name(number: int) -> str:
    if number == 1:
        return RARE
    return "counted" if number % 10 == 5 else f"filler.{number % NAMES}"


def _record(number: int, at: Millis, name: str, entity: str = "", version: int | None = None) -> Record:
    return Record(
        id=event_id(number),
        environment="default",
        kind="entity" if entity else "event",
        name=name,
        data=f'{{"key":"key-{number % 1000}","value":{number},"note":"{"x" * 60}"}}',
        created_at=at,
        source=f"source-{number % SOURCES}",
        entity_type="bench" if entity else None,
        entity_id=entity or None,
        entity_version=version,
    )
