"""Reads and purges recorded facts. The runs feature writes them: `features/runs/repository.py`."""

from itertools import groupby
from typing import NamedTuple

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.facts import Fact
from ironflow.features.time_travel.rules import Kept, history
from ironflow.storage.port import Tx

HISTORIES = "SELECT run_id, version, body FROM facts WHERE run_id IN {each:run_ids} ORDER BY run_id, version"
_RANGE = "FROM facts WHERE at >= :since AND at < :until"
_NEWEST_FIRST = "ORDER BY at DESC, run_id DESC, version DESC LIMIT :limit"
# The limit on facts bounds the work, however few of them are of runs that the reader wants.
NEWEST = f"""SELECT f.at, f.run_id, f.version, f.kind, r.environment, r.function_id FROM
 (SELECT at, run_id, version, kind {_RANGE} AND (at, run_id, version) <= (:at, :run_id, :version) {_NEWEST_FIRST}) f
 LEFT JOIN runs r ON r.id = f.run_id ORDER BY f.at DESC, f.run_id DESC, f.version DESC"""
# CROSS JOIN: SQLite would begin with all runs of the environment.
COUNT_NEWEST = f"""SELECT count(*) FROM (SELECT run_id, kind {_RANGE} {_NEWEST_FIRST}) f
 CROSS JOIN runs r WHERE r.id = f.run_id AND r.environment = :environment AND f.kind IN {{each:kinds}}
 AND (:function_id = '' OR r.function_id = :function_id)"""
NEWEST_OF_RUN = NEWEST.replace(_RANGE, f"{_RANGE} AND run_id = :only")
COUNT_OF_RUN = COUNT_NEWEST.replace(_RANGE, f"{_RANGE} AND run_id = :only")
# Materialized: where PostgreSQL reads a subquery that skips locked rows anew for each row, it finds others each time.
EXPIRE = """WITH due AS MATERIALIZED (
 SELECT id FROM runs WHERE environment = :environment AND function_id = :function_id
 AND recorded NOT IN ('', 'expired') AND ended_at < :oldest ORDER BY ended_at LIMIT :limit {skip_locked})
UPDATE runs SET recorded = 'expired' WHERE id IN (SELECT id FROM due) RETURNING id"""
FORGET = "DELETE FROM facts WHERE run_id IN {each:run_ids}"

_decode = msgspec.json.Decoder(Fact).decode


class Place(NamedTuple):
    """Where a fact stands in the order of time; several servers' clocks may differ, so run and version decide too."""

    at: Millis
    run_id: str
    version: int


class FactFilter(NamedTuple):
    """Facts recorded from `since` on and before `until`, of certain kinds. Empty ids mean any."""

    since: Millis
    until: Millis
    kinds: frozenset[str]
    run_id: str = ""
    function_id: str = ""


class Mark(NamedTuple):
    """A fact of some run, without its body. environment and function_id are None when the run is gone."""

    at: Millis
    run_id: str
    version: int
    kind: str
    environment: str | None
    function_id: str | None

    @property
    def place(self) -> Place:
        return Place(self.at, self.run_id, self.version)


def histories(tx: Tx, run_ids: list[str]) -> dict[str, list[Kept]]:
    """The kept facts of each run, in order; runs without any are left out."""
    rows = tx.rows(HISTORIES, {"run_ids": run_ids})
    return {run_id: history((row[1], _decode(row[2])) for row in group) for run_id, group in groupby(rows, _run_id)}


def newest(tx: Tx, wanted: FactFilter, place: Place, limit: int) -> list[Mark]:
    """Up to `limit` facts in the wanted range, newest first, from `place` on; whatever their function and kind."""
    bounds = {"since": wanted.since, "until": wanted.until, "only": wanted.run_id, "limit": limit}
    rows = tx.rows(NEWEST_OF_RUN if wanted.run_id else NEWEST, {**bounds, **place._asdict()})
    return [Mark(*row) for row in rows]


def count_newest(tx: Tx, environment: str, wanted: FactFilter, limit: int) -> int:
    """How many of the newest `limit` facts in the wanted range are wanted."""
    bounds = {"since": wanted.since, "until": wanted.until, "only": wanted.run_id, "limit": limit}
    place = {"environment": environment, "function_id": wanted.function_id, "kinds": sorted(wanted.kinds)}
    row = tx.row(COUNT_OF_RUN if wanted.run_id else COUNT_NEWEST, {**bounds, **place})
    return row[0] if row else 0


def expire(tx: Tx, environment: str, function_id: str, oldest: Millis, limit: int) -> int:
    """Deletes the facts of up to `limit` runs of a function that ended before `oldest`; of how many."""
    place = {"environment": environment, "function_id": function_id}
    run_ids = [row[0] for row in tx.rows(EXPIRE, {**place, "oldest": oldest, "limit": limit})]
    if run_ids:
        tx.run(FORGET, {"run_ids": run_ids})
    return len(run_ids)


def _run_id(row: tuple[str, int, str]) -> str:
    return row[0]
