"""What is remembered: which recorded events were given to which function."""

from collections.abc import Sequence
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.storage.port import Tx

_AT = "environment = :environment AND function_id = :function_id"
# Two that give events of a function at the same moment on PostgreSQL: the second waits for the first to commit, and
# counts its runs.
LOCK = "{lock_key}"
GIVE = """INSERT INTO event_triggers (environment, function_id, event_id, run_id, given_at)
VALUES (:environment, :function_id, :event_id, '', :given_at)
ON CONFLICT (environment, function_id, event_id) DO NOTHING"""
SAVE_RUN = f"UPDATE event_triggers SET run_id = :run_id WHERE {_AT} AND event_id = :event_id"
TAKE_BACK = f"DELETE FROM event_triggers WHERE {_AT} AND event_id = :event_id"
GIVEN = f"SELECT event_id, run_id FROM event_triggers WHERE {_AT} AND event_id IN {{each:event_ids}}"
FORGET = "DELETE FROM event_triggers WHERE environment = :environment AND event_id IN {each:event_ids}"
# Found by its own index, however many runs the function has.
UNFINISHED = f"""SELECT count(*) FROM (SELECT 1 FROM runs WHERE {_AT} AND priority = -101
 AND status IN ('pending', 'running', 'waiting', 'paused') LIMIT :most) AS unfinished"""
PAGE_AFTER = """SELECT environment, function_id, event_id FROM event_triggers
WHERE (environment, function_id, event_id) > (:environment, :function_id, :event_id)
ORDER BY environment, function_id, event_id LIMIT :limit"""
HERE = "SELECT id FROM events WHERE id IN {each:event_ids}"


class Given(NamedTuple):
    environment: str
    function_id: str
    event_id: str


FIRST = Given("", "", "")


def given(tx: Tx, environment: str, function_id: str, event_ids: Sequence[str]) -> set[str]:
    """Those of the events that were given to the function."""
    if not event_ids:
        return set()
    params = {"environment": environment, "function_id": function_id, "event_ids": list(event_ids)}
    return {row[0] for row in tx.rows(GIVEN, params)}


def give(tx: Tx, environment: str, function_id: str, runs: dict[str, str], now: Millis) -> set[str]:
    """Records that these events are given, with the runs to start; the events that no other transaction has given.

    runs: ids by event id.
    """
    if not runs:
        return set()
    at = {"environment": environment, "function_id": function_id}
    # In one order, so that no two transactions wait for each other.
    tx.many(GIVE, [{**at, "event_id": each, "given_at": now} for each in sorted(runs)])
    rows = tx.rows(GIVEN, {**at, "event_ids": list(runs)})
    fresh = {row[0] for row in rows if row[1] == ""}
    tx.many(SAVE_RUN, [{**at, "event_id": each, "run_id": runs[each]} for each in sorted(fresh)])
    return fresh


def take_back(tx: Tx, environment: str, function_id: str, event_ids: set[str]) -> None:
    """These events of this transaction were not given after all."""
    at = {"environment": environment, "function_id": function_id}
    tx.many(TAKE_BACK, [{**at, "event_id": each} for each in sorted(event_ids)])


def lock(tx: Tx, environment: str, function_id: str) -> None:
    """Others give no events to the function until this transaction ends."""
    tx.rows(LOCK, {"lock": f"event_triggers/{environment}/{function_id}"})


def unfinished(tx: Tx, environment: str, function_id: str, most: int) -> int:
    """How many runs that recorded events have started are not at their end, counted up to `most`."""
    row = tx.row(UNFINISHED, {"environment": environment, "function_id": function_id, "most": most})
    return row[0] if row else 0


def page_after(tx: Tx, last: Given, limit: int) -> list[Given]:
    return [Given(*row) for row in tx.rows(PAGE_AFTER, {**last._asdict(), "limit": limit})]


def forget_removed(tx: Tx, page: Sequence[Given]) -> int:
    """Deletes rows whose events are not in the log any more; how many events."""
    here = {row[0] for row in tx.rows(HERE, {"event_ids": [each.event_id for each in page]})}
    removed = [each for each in page if each.event_id not in here]
    for environment in {each.environment for each in removed}:
        ids = [each.event_id for each in removed if each.environment == environment]
        tx.run(FORGET, {"environment": environment, "event_ids": ids})
    return len(removed)
