"""What is remembered of SQL projections; their tables are in places of their own."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from ironflow.base.time import Millis
from ironflow.features.sql_projections.rules import Definition, Generation, Projection
from ironflow.log.holds import Held
from ironflow.storage.port import Row, Tx

_GENERATION = """environment, name, generation, place, definition, position, target, started_at, updated_at, failures,
 retry_at, failed_position, error"""
_PROJECTION = "environment, name, description, serving, building, last_generation, paused, created_at, updated_at"
PROJECTION = f"SELECT {_PROJECTION} FROM sql_projections WHERE environment = :environment AND name = :name"
PROJECTION_TO_WRITE = PROJECTION + " {for_update}"
PROJECTIONS = f"""SELECT {_PROJECTION}
FROM sql_projections WHERE environment = :environment AND name > :cursor ORDER BY name LIMIT :limit"""
GENERATIONS = f"""SELECT {_GENERATION} FROM sql_generations
WHERE environment = :environment AND name IN {{each:names}} ORDER BY name, generation"""
_DUE = """FROM sql_generations g JOIN sql_projections p ON p.environment = g.environment AND p.name = g.name
WHERE p.paused = 0 AND (g.error = '' OR (g.retry_at > 0 AND g.retry_at <= :now))"""
ANY_DUE = f"SELECT 1 {_DUE} LIMIT 1"
DUE = f"""SELECT {", ".join(f"g.{each.strip()}" for each in _GENERATION.split(","))} {_DUE}
ORDER BY g.environment, g.name, g.generation LIMIT :limit"""
BUILDING = "SELECT environment, name FROM sql_projections WHERE building > 0 ORDER BY environment, name LIMIT :limit"
NEXT_RETRY = "SELECT min(retry_at) FROM sql_generations WHERE retry_at > :now"
PLACES = "SELECT place FROM sql_generations"
SAVE = """INSERT INTO sql_projections
(environment, name, description, serving, building, last_generation, paused, created_at, updated_at)
VALUES (:environment, :name, :description, :serving, :building, :last_generation, :paused, :created_at, :updated_at)
ON CONFLICT (environment, name) DO UPDATE SET description = excluded.description, serving = excluded.serving,
 building = excluded.building, last_generation = excluded.last_generation, paused = excluded.paused,
 updated_at = excluded.updated_at"""
SAVE_GENERATION = f"""INSERT INTO sql_generations ({_GENERATION})
VALUES ({", ".join(f":{each.strip()}" for each in _GENERATION.split(","))})
ON CONFLICT (environment, name, generation) DO UPDATE SET definition = excluded.definition,
 position = excluded.position, target = excluded.target, updated_at = excluded.updated_at, failures = excluded.failures,
 retry_at = excluded.retry_at, failed_position = excluded.failed_position, error = excluded.error"""
SLOWEST = "SELECT name, position FROM sql_generations ORDER BY position LIMIT 1"
# What a round brought; nothing where the generation has unused, or was given another definition and so a new start.
NOTE_PROGRESS = """UPDATE sql_generations SET position = :position, target = :target, updated_at = :updated_at,
 failures = :failures, retry_at = :retry_at, failed_position = :failed_position, error = :error
WHERE environment = :environment AND name = :name AND generation = :generation AND definition = :definition"""
DELETE = "DELETE FROM sql_projections WHERE environment = :environment AND name = :name"
DELETE_GENERATION = """DELETE FROM sql_generations
WHERE environment = :environment AND name = :name AND generation = :generation"""
TABLES_TAKEN = """SELECT table_name, name FROM sql_projection_tables
WHERE environment = :environment AND table_name IN {each:tables} AND name <> :name ORDER BY table_name"""
TABLES = """SELECT t.table_name, g.place FROM sql_projection_tables t
JOIN sql_projections p ON p.environment = t.environment AND p.name = t.name
JOIN sql_generations g ON g.environment = p.environment AND g.name = p.name AND g.generation = p.serving
WHERE t.environment = :environment ORDER BY t.table_name"""
TAKE_TABLE = """INSERT INTO sql_projection_tables (environment, table_name, name) VALUES (:environment, :table, :name)
ON CONFLICT (environment, table_name) DO NOTHING"""
FREE_TABLES = "DELETE FROM sql_projection_tables WHERE environment = :environment AND name = :name"

_definition = msgspec.json.Decoder(Definition)
# Of a definition as text, so that the loop need not read the same one again and again.
_definitions: dict[str, Definition] = {}


def projection(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> Projection | None:
    """A projection with its generations. to_write: locked until the commit."""
    sql = PROJECTION_TO_WRITE if to_write else PROJECTION
    row = tx.row(sql, {"environment": environment, "name": name})
    return _with_generations(tx, environment, [row])[0] if row else None


def projections_after(tx: Tx, environment: str, cursor: str, limit: int) -> list[Projection]:
    """By name, after `cursor`."""
    rows = tx.rows(PROJECTIONS, {"environment": environment, "cursor": cursor, "limit": limit})
    return _with_generations(tx, environment, rows)


def any_due(tx: Tx, now: Millis) -> bool:
    """Whether `due` would find any."""
    return tx.row(ANY_DUE, {"now": now}) is not None


def due(tx: Tx, now: Millis, limit: int) -> list[Generation]:
    """Generations that go on by themselves."""
    return [_generation(row) for row in tx.rows(DUE, {"now": now, "limit": limit})]


def building(tx: Tx, limit: int) -> list[tuple[str, str]]:
    """(environment, name) of projections that are being rebuilt."""
    return [(row[0], row[1]) for row in tx.rows(BUILDING, {"limit": limit})]


def next_retry_at(tx: Tx, now: Millis) -> Millis | None:
    """When the next failed statement is run again."""
    row = tx.row(NEXT_RETRY, {"now": now})
    return row[0] if row else None


def places(tx: Tx) -> set[str]:
    """The places of all generations."""
    return {row[0] for row in tx.rows(PLACES)}


def save(tx: Tx, projection: Projection) -> None:
    """The projection with its generations; others of it are removed."""
    tx.run(
        SAVE,
        {
            "environment": projection.environment,
            "name": projection.name,
            "description": projection.description,
            "serving": projection.serving.generation,
            "building": projection.building.generation if projection.building else 0,
            "last_generation": projection.last_generation,
            "paused": int(projection.paused),
            "created_at": projection.created_at,
            "updated_at": projection.updated_at,
        },
    )
    kept = [each for each in (projection.serving, projection.building) if each is not None]
    tx.many(SAVE_GENERATION, [_params(each) for each in kept])
    there = tx.rows(GENERATIONS, {"environment": projection.environment, "names": [projection.name]})
    unused = {row[2] for row in there} - {each.generation for each in kept}
    place = {"environment": projection.environment, "name": projection.name}
    tx.many(DELETE_GENERATION, [{**place, "generation": each} for each in unused])


def note_progress(tx: Tx, generation: Generation) -> bool:
    """Whether it was noted: the generation is there, with the definition that was worked by."""
    return tx.run(NOTE_PROGRESS, _params(generation)) == 1


def delete(tx: Tx, found: Projection) -> None:
    """The projection with its generations and table names."""
    place = {"environment": found.environment, "name": found.name}
    kept = [each for each in (found.serving, found.building) if each is not None]
    tx.many(DELETE_GENERATION, [{**place, "generation": each.generation} for each in kept])
    tx.run(FREE_TABLES, place)
    tx.run(DELETE, place)


def take_tables(tx: Tx, environment: str, name: str, tables: Iterable[str]) -> dict[str, str]:
    """Makes the table names this projection's; those that are another's, with its name."""
    wanted = sorted(tables)
    for table in wanted:
        # One after another in one order: two projections that want the same ones wait and do not block each other.
        tx.run(TAKE_TABLE, {"environment": environment, "table": table, "name": name})
    taken = tx.rows(TABLES_TAKEN, {"environment": environment, "tables": wanted, "name": name})
    return {row[0]: row[1] for row in taken}


def free_tables(tx: Tx, environment: str, name: str) -> None:
    tx.run(FREE_TABLES, {"environment": environment, "name": name})


def tables(tx: Tx, environment: str) -> dict[str, str]:
    """Every table of the environment's projections with the place that is read."""
    return {row[0]: row[1] for row in tx.rows(TABLES, {"environment": environment})}


def _with_generations(tx: Tx, environment: str, rows: list[Row]) -> list[Projection]:
    if not rows:
        return []
    found: dict[tuple[str, int], Generation] = {}
    for row in tx.rows(GENERATIONS, {"environment": environment, "names": [row[1] for row in rows]}):
        found[row[1], row[2]] = _generation(row)
    return [
        Projection(
            environment=row[0],
            name=row[1],
            description=row[2],
            serving=found[row[1], row[3]],
            building=found.get((row[1], row[4])),
            last_generation=row[5],
            paused=bool(row[6]),
            created_at=row[7],
            updated_at=row[8],
        )
        for row in rows
    ]


def _generation(row: Row) -> Generation:
    text = row[4]
    definition = _definitions.get(text)
    if definition is None:
        if len(_definitions) > 1000:
            _definitions.clear()
        definition = _definitions[text] = _definition.decode(text)
    values: Row = (*row[:4], definition, *row[5:])
    return Generation(*values)


def _params(generation: Generation) -> dict[str, Any]:
    values = {name: getattr(generation, name) for name in Generation.__dataclass_fields__}
    return {**values, "definition": definition_text(generation.definition)}


def definition_text(definition: Definition) -> str:
    return msgspec.json.encode(definition, order="sorted").decode()


def fresh(generation: Generation, now: Millis) -> Generation:
    """Without the failure it stands at."""
    return replace(generation, failures=0, retry_at=0, failed_position=0, error="", updated_at=now)


def slowest(tx: Tx) -> Held | None:
    """The SQL projection that has come least far in the log, one that is built again included."""
    row = tx.row(SLOWEST)
    return Held(f"SQL projection {row[0]}", row[1]) if row else None
