"""Chains: runs that restarted, each as the next. The id of the first link finds a chain, also when that is purged.

Source: docs/guides/restarting-runs.md.
"""

from ironflow.engine.model import Run
from ironflow.features.runs import restarting, store
from ironflow.features.runs.store import RUN_COLUMNS, run_of
from ironflow.storage.port import Tx

# A link that restarts while it is looked for is looked for again; each time its next one was committed.
TRIES = 20

LAST = "SELECT id FROM runs WHERE first_run_id = :chain_id ORDER BY link DESC LIMIT 1"
BEFORE = """SELECT step_count, started_at, ended_at FROM runs
WHERE first_run_id = :chain_id AND link < :link ORDER BY link DESC LIMIT :limit"""
FIRST = f"SELECT {RUN_COLUMNS} FROM runs r WHERE r.id = :chain_id AND r.environment = :environment"
LATER = f"""SELECT {RUN_COLUMNS} FROM runs r
WHERE r.first_run_id = :chain_id AND r.link > :after AND r.environment = :environment ORDER BY r.link LIMIT :limit"""
# The links of a chain know its first one; a run that was never restarted is a chain of one.
CHAINS = "SELECT DISTINCT COALESCE(first_run_id, id) FROM runs WHERE id IN {each:run_ids}"
KEPT = """SELECT id FROM runs WHERE id IN {each:chain_ids}
UNION SELECT first_run_id FROM runs WHERE first_run_id IN {each:chain_ids}"""


def last_id(tx: Tx, chain_id: str) -> str:
    """The id of the last link of a chain; of a run that has not restarted, its own."""
    row = tx.row(LAST, {"chain_id": chain_id})
    return chain_id if row is None else str(row[0])


def look_named(tx: Tx, run_id: str) -> Run | None:
    """The run, to read; where it is not kept any more, the last link of the chain that it was the first one of."""
    run = store.look(tx, [run_id]).get(run_id)
    return run or store.look(tx, [last := last_id(tx, run_id)]).get(last)


def load_named(tx: Tx, run_id: str) -> Run | None:
    """As `look_named`, to change: the last link, locked on PostgreSQL."""
    run = store.load(tx, [run_id]).get(run_id) or store.load(tx, [last := last_id(tx, run_id)]).get(last)
    return run and load_last(tx, run)


def look_last(tx: Tx, run: Run) -> Run:
    """The last link of the run's chain, to read; the run itself where no later one is kept."""
    return run if run.restarted_as is None else store.look(tx, [last := last_id(tx, run.chain_id)]).get(last, run)


def load_last(tx: Tx, run: Run) -> Run:
    """As `look_last`, to change: locked on PostgreSQL."""
    for _ in range(TRIES):
        if run.restarted_as is None:
            break
        last = last_id(tx, run.chain_id)
        run = store.load(tx, [last]).get(last, run)
    return run


def restarted_text(tx: Tx, run: Run) -> str:
    """What is so with a run that has restarted, for those that meant to change it."""
    last = look_last(tx, run)
    if last.ended:
        return f"Run {run.id} has restarted, and its chain has ended with run {last.id}: it is {last.status}."
    return f"Run {run.id} has ended: it restarted. The run that goes on in its place is {last.id}; name that one."


def restart_delay_ms(tx: Tx, run: Run) -> int:
    """Milliseconds until the run that goes on in place of this one, which has just restarted, may start."""
    link = restarting.link_of(run)
    if run.link <= restarting.QUICK_AT_ONCE or not restarting.is_quick(link):
        return 0
    params = {"chain_id": run.chain_id, "link": run.link, "limit": restarting.QUICK_LOOKED_AT}
    return restarting.decide_restart_delay([link, *(restarting.Link(*row) for row in tx.rows(BEFORE, params))])


def page(tx: Tx, environment: str, chain_id: str, after: int, limit: int) -> list[Run]:
    """The links of a chain that are kept, oldest first. after: the number of the link before the first one."""
    params = {"chain_id": chain_id, "environment": environment, "after": after, "limit": limit}
    rows = tx.rows(FIRST, params) if after < 0 else []
    return [run_of(row) for row in [*rows, *tx.rows(LATER, params)][:limit]]


def chains_of(tx: Tx, run_ids: list[str]) -> list[str]:
    """The chains of these runs."""
    return [row[0] for row in tx.rows(CHAINS, {"run_ids": run_ids})]


def without_links(tx: Tx, chain_ids: list[str]) -> list[str]:
    """Those that have no link any more."""
    kept = {row[0] for row in tx.rows(KEPT, {"chain_ids": chain_ids})}
    return [each for each in chain_ids if each not in kept]
