"""What is remembered of ticks: the runs that must not overlap, and the tick that waits for them.

Only owners whose runs must not overlap have rows; those of runs that have ended go with the owner's next tick.
"""

from ironflow.base.time import Millis
from ironflow.features.ticks.rules import Tick
from ironflow.storage.port import Tx

_TICK = ", ".join(Tick._fields)
_NOT_ENDED = "r.status NOT IN ('completed', 'failed', 'cancelled')"
_OF = "environment = :environment AND owner = :owner"
# A run that has restarted goes on as the last link of its chain.
_LAST_LINK = """COALESCE(
 (SELECT l.id FROM runs l WHERE l.first_run_id = t.run_id ORDER BY l.link DESC LIMIT 1), t.run_id)"""
# Held until the commit: two ticks of an owner see each other's runs.
LOCK = "{lock_key}"
OPEN = f"""SELECT r.id FROM tick_runs t JOIN runs r ON r.id = {_LAST_LINK}
WHERE t.environment = :environment AND t.owner = :owner AND {_NOT_ENDED} ORDER BY r.id LIMIT :limit"""
FORGET_ENDED = f"""DELETE FROM tick_runs WHERE {_OF} AND run_id NOT IN (
 SELECT t.run_id FROM tick_runs t JOIN runs r ON r.id = {_LAST_LINK}
 WHERE t.environment = :environment AND t.owner = :owner AND {_NOT_ENDED})"""
FORGET_RUNS = "DELETE FROM tick_runs WHERE run_id IN {each:run_ids}"
FORGET_ALL = f"DELETE FROM tick_runs WHERE {_OF}"
ADD = "INSERT INTO tick_runs (environment, owner, run_id) VALUES (:environment, :owner, :run_id)"
KEPT = f"SELECT {_TICK}, cancels FROM kept_ticks WHERE {_OF}"
KEEP = f"""INSERT INTO kept_ticks ({_TICK}, cancels)
VALUES ({", ".join(f":{name}" for name in Tick._fields)}, :cancels)
ON CONFLICT (environment, owner) DO UPDATE SET tick_at = excluded.tick_at, function_id = excluded.function_id,
 event = excluded.event, data = excluded.data, source = excluded.source, metadata = excluded.metadata,
 cancels = excluded.cancels"""
DROP = f"DELETE FROM kept_ticks WHERE {_OF}"
CANCELS_DONE = f"UPDATE kept_ticks SET cancels = 0 WHERE {_OF}"
_RUNNING = f"""SELECT 1 FROM tick_runs t JOIN runs r ON r.id = {_LAST_LINK}
WHERE t.environment = k.environment AND t.owner = k.owner AND {_NOT_ENDED}"""
DUE = f"""SELECT {", ".join(f"k.{name}" for name in Tick._fields)}, cancels FROM kept_ticks k
WHERE cancels = 1 OR NOT EXISTS ({_RUNNING}) ORDER BY k.environment, k.owner LIMIT :limit"""
FIRST_DUE = f"SELECT min(tick_at) FROM kept_ticks k WHERE cancels = 1 OR NOT EXISTS ({_RUNNING})"
ANY = "SELECT 1 FROM kept_ticks LIMIT 1"


def lock(tx: Tx, environment: str, owner: str) -> None:
    tx.rows(LOCK, {"lock": f"tick/{environment}/{owner}"})


def open_runs(tx: Tx, environment: str, owner: str, limit: int) -> list[str]:
    """Ids of the owner's runs that have not ended."""
    return [row[0] for row in tx.rows(OPEN, {"environment": environment, "owner": owner, "limit": limit})]


def add_run(tx: Tx, environment: str, owner: str, run_id: str) -> None:
    tx.run(ADD, {"environment": environment, "owner": owner, "run_id": run_id})


def forget_ended(tx: Tx, environment: str, owner: str) -> None:
    tx.run(FORGET_ENDED, {"environment": environment, "owner": owner})


def forget_runs(tx: Tx, run_ids: list[str]) -> None:
    """Forgets runs of whose chains no link is kept."""
    if run_ids:
        tx.run(FORGET_RUNS, {"run_ids": run_ids})


def forget(tx: Tx, environment: str, owner: str) -> None:
    """Runs go on; the kept tick is dropped."""
    tx.run(FORGET_ALL, {"environment": environment, "owner": owner})
    drop(tx, environment, owner)


def kept(tx: Tx, environment: str, owner: str) -> Tick | None:
    row = tx.row(KEPT, {"environment": environment, "owner": owner})
    return Tick(*row[:-1]) if row else None


def keep(tx: Tx, tick: Tick, *, cancels: bool) -> None:
    """Instead of an earlier one. cancels: the runs that it waits for are cancelled."""
    tx.run(KEEP, {**tick._asdict(), "cancels": int(cancels)})


def drop(tx: Tx, environment: str, owner: str) -> None:
    tx.run(DROP, {"environment": environment, "owner": owner})


def cancels_done(tx: Tx, environment: str, owner: str) -> None:
    tx.run(CANCELS_DONE, {"environment": environment, "owner": owner})


def due(tx: Tx, limit: int) -> list[tuple[Tick, bool]]:
    """Kept ticks that may start, or that cancel (True) what they wait for, in the order of their locks."""
    return [(Tick(*row[:-1]), bool(row[-1])) for row in tx.rows(DUE, {"limit": limit})]


def first_due(tx: Tx) -> Millis | None:
    """When the earliest of those ticks was; None without any."""
    row = tx.row(FIRST_DUE)
    return row[0] if row else None


def has_any(tx: Tx) -> bool:
    return tx.row(ANY) is not None
