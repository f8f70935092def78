"""What is remembered of the values of runs: the newest of each name. They are written in the commit of a report."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.engine.model import RunValue
from ironflow.storage.port import Tx


class StoredValue(NamedTuple):
    """version: rises with each change."""

    name: str
    value: str
    version: int
    updated_at: Millis


# A replay sets a value again that is older than the one that is stored: it changes nothing.
SAVE = """INSERT INTO run_values (run_id, name, value, number, sequence, version, updated_at)
VALUES (:run_id, :name, :value, :number, :sequence, 1, :updated_at)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value, number = excluded.number,
 sequence = excluded.sequence, version = run_values.version + 1, updated_at = excluded.updated_at
WHERE run_values.number < excluded.number
 OR (run_values.number = excluded.number AND run_values.value <> excluded.value)"""
OF_RUN = """SELECT name, value, version, updated_at FROM run_values WHERE run_id = :run_id AND name > :after
ORDER BY name LIMIT :limit"""
BYTES = "SELECT CAST(coalesce(sum(octet_length(value)), 0) AS BIGINT) FROM run_values WHERE run_id = :run_id"
ONE = "SELECT name, value, version, updated_at FROM run_values WHERE run_id = :run_id AND name = :name"
NUMBER = "SELECT name, number, value FROM run_values WHERE run_id = :run_id AND name = :name"
NUMBERS = "SELECT name, number, value FROM run_values WHERE run_id = :run_id AND name IN {each:names}"
DROP_FROM = "DELETE FROM run_values WHERE run_id = :run_id AND sequence > :from_sequence"
DROP_ALL = "DELETE FROM run_values WHERE run_id IN {each:ids}"


def save(tx: Tx, values: list[tuple[str, RunValue]]) -> None:
    """Writes values, given with their run ids, and notifies `run_values` with each run."""
    # In the order in which the statement names them.
    tx.many(
        SAVE,
        [(run_id, value.name, value.value, value.number, value.sequence, value.updated_at) for run_id, value in values],
    )
    for run_id in {run_id for run_id, _ in values}:
        tx.notify("run_values", run_id)


def news(tx: Tx, run_id: str, values: tuple[RunValue, ...]) -> tuple[RunValue, ...]:
    """Those that change what is stored: a replay sets again what the run has set before."""
    if len(values) == 1:
        # Nearly always: a list of names takes SQLite a table of its own.
        rows = tx.rows(NUMBER, {"run_id": run_id, "name": values[0].name})
    else:
        rows = tx.rows(NUMBERS, {"run_id": run_id, "names": [value.name for value in values]})
    stored = {name: (number, value) for name, number, value in rows}
    fresh = (0, "")
    news = [
        each
        for each in values
        if each.number >= stored.get(each.name, fresh)[0] and (each.number, each.value) != stored.get(each.name)
    ]
    return values if len(news) == len(values) else tuple(news)


def of_run(tx: Tx, run_id: str, after: str, limit: int) -> list[StoredValue]:
    """By name, behind `after`."""
    return [StoredValue(*row) for row in tx.rows(OF_RUN, {"run_id": run_id, "after": after, "limit": limit})]


def bytes_of(tx: Tx, run_id: str) -> int:
    """Of all values of the run."""
    row = tx.row(BYTES, {"run_id": run_id})
    return row[0] if row else 0


def one(tx: Tx, run_id: str, name: str) -> StoredValue | None:
    row = tx.row(ONE, {"run_id": run_id, "name": name})
    return None if row is None else StoredValue(*row)


def drop_from(tx: Tx, run_id: str, from_sequence: int) -> None:
    """Deletes values that were set after steps which are forgotten."""
    tx.run(DROP_FROM, {"run_id": run_id, "from_sequence": from_sequence})


def drop_all(tx: Tx, run_ids: list[str]) -> None:
    if run_ids:
        tx.run(DROP_ALL, {"ids": run_ids})
