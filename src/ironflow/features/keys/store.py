"""What is remembered of keys: which run holds each. The primary key of the table decides between callers and nodes.

A row is there as long as its run has not ended. It is written with the run, and deleted in the commit that ends it.
"""

from collections.abc import Collection
from typing import NamedTuple

from ironflow.base.json import write_json_text
from ironflow.base.run_keys import RunKeyHeld
from ironflow.features.keys import rules
from ironflow.storage.port import Tx


class RunKey(NamedTuple):
    """A key, and where it is unique."""

    environment: str
    function_id: str
    key: str


_KEY = "environment = :environment AND function_id = :function_id AND key = :key"
# On PostgreSQL it waits for another transaction that takes or frees the key.
TAKE = """INSERT INTO run_keys (environment, function_id, key, run_id)
VALUES (:environment, :function_id, :key, :run_id) ON CONFLICT (environment, function_id, key) DO NOTHING"""
HOLDER = f"SELECT run_id FROM run_keys WHERE {_KEY}"
HOLDERS = """SELECT function_id, key, run_id FROM run_keys
WHERE environment = :environment AND (function_id, key) IN {pairs:keys}"""
MOVE = f"UPDATE run_keys SET run_id = :to WHERE {_KEY} AND run_id = :run_id"
FREE = "DELETE FROM run_keys WHERE run_id = :run_id"
NEWEST = f"SELECT id FROM runs WHERE {_KEY} ORDER BY id DESC LIMIT 1"


def take(tx: Tx, key: RunKey, run_id: str) -> bool:
    """Gives a free key to the run; False when another run holds it."""
    return tx.run(TAKE, {**key._asdict(), "run_id": run_id}) == 1


def holder(tx: Tx, key: RunKey) -> str | None:
    """The run that holds the key."""
    row = tx.row(HOLDER, key._asdict())
    return None if row is None else str(row[0])


def holders(tx: Tx, wanted: Collection[RunKey]) -> dict[RunKey, str]:
    """The runs that hold these keys, by key; one statement for each environment."""
    found: dict[RunKey, str] = {}
    for environment in dict.fromkeys(key.environment for key in wanted):
        pairs = [(key.function_id, key.key) for key in wanted if key.environment == environment]
        rows = tx.rows(HOLDERS, {"environment": environment, "keys": write_json_text(pairs)})
        found |= {RunKey(environment, function_id, key): str(run_id) for function_id, key, run_id in rows}
    return found


def move(tx: Tx, key: RunKey, run_id: str, to: str) -> bool:
    """Gives the key of a run to another; False when it does not hold it any more."""
    return tx.run(MOVE, {**key._asdict(), "run_id": run_id, "to": to}) == 1


def free(tx: Tx, run_ids: list[str]) -> None:
    """Frees the keys of runs that have ended."""
    tx.many(FREE, [{"run_id": run_id} for run_id in run_ids])


def take_again(tx: Tx, key: RunKey, run_id: str) -> None:
    """Gives its key back to a run that goes on after its end. Raises RunKeyHeld."""
    if not take(tx, key, run_id):
        other = holder(tx, key)
        if other != run_id:
            raise RunKeyHeld(rules.held_text(key.function_id, key.key, other or "another"))


def run_id_of(tx: Tx, environment: str, given: str) -> str:
    """The id of the run that `given` names: its id, or `function:key`; `given` itself where that names no run.

    Of several runs that had the key, the one that has not ended, else the newest.
    """
    if ":" not in given:
        return given
    named = [RunKey(environment, *each) for each in rules.references(given)]
    for key in named:
        found = holder(tx, key)
        if found is not None:
            return found
    for key in named:
        row = tx.row(NEWEST, key._asdict())
        if row is not None:
            return str(row[0])
    return given


def run_ids_of(tx: Tx, named: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """As `run_id_of`, of several at once. named: the environment, and what names the run."""
    keys = {
        (environment, given): [RunKey(environment, *each) for each in rules.references(given)]
        for environment, given in named
        if ":" in given
    }
    held = holders(tx, list(dict.fromkeys(key for each in keys.values() for key in each))) if keys else {}
    found: dict[tuple[str, str], str] = {}
    for environment, given in named:
        run_id = next((held[key] for key in keys.get((environment, given), ()) if key in held), None)
        found[environment, given] = run_id_of(tx, environment, given) if run_id is None else run_id
    return found
