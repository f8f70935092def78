"""Who may run under a concurrency limit. Slots are counted from what holds them, never kept as a number.

A run whose function has a limit is `queued` until it is admitted to its key; then it keeps the slot until its lease
ends: by waiting, ending or pausing. A run that is paused while it has a slot keeps it, unless its function says
`release`; one that slept, waited or queued had none, and takes none by being paused.
"""

from typing import NamedTuple

from ironflow.storage.port import Tx

# Serial execution for each value of a function's actor key.
ACTOR_PREFIX = "actor:"
KEY_PREFIX = "key:"


class Place(NamedTuple):
    """Runs of one function that share slots."""

    environment: str
    function_id: str
    slot_key: str


# For those of the longest waiting that another transaction has at this moment.
RESERVE = 5
LOCK = "{lock_key}"
HELD = """SELECT
 (SELECT count(*) FROM jobs WHERE environment = :environment AND function_id = :function_id AND slot_key = :slot_key
   AND state IN ('ready', 'reserved', 'held'))
 + (SELECT count(*) FROM runs WHERE environment = :environment AND function_id = :function_id AND slot_key = :slot_key
   AND status = 'paused' AND holds_slot = 1 AND paused_from = '')"""
QUEUED = """SELECT run_id FROM jobs WHERE environment = :environment AND function_id = :function_id
 AND slot_key = :slot_key AND state = 'queued' ORDER BY ready_at, run_id LIMIT :limit"""
PLACES = """SELECT DISTINCT environment, function_id, slot_key FROM jobs
WHERE slot_key IS NOT NULL AND state = 'queued' LIMIT :limit"""
HOLDERS = """SELECT run_id FROM jobs WHERE environment = :environment AND function_id = :function_id
 AND slot_key = :slot_key AND state IN ('ready', 'reserved', 'held') ORDER BY run_id LIMIT :limit"""
PAUSED_HOLDERS = """SELECT id FROM runs WHERE environment = :environment AND function_id = :function_id
 AND slot_key = :slot_key AND status = 'paused' AND holds_slot = 1 AND paused_from = '' ORDER BY id LIMIT :limit"""


def next_admitted(tx: Tx, place: Place, limit: int) -> tuple[int, list[str]]:
    """How many runs may be admitted now, and who they are, longest waiting first, with a few in reserve.

    limit: the function's, 0 for none any more.
    """
    tx.rows(LOCK, {"lock": "/".join(place)})
    params = place._asdict()
    row = tx.row(HELD, params)
    free = limit - (row[0] if row else 0) if limit else 1_000
    if free <= 0:
        return 0, []
    return free, [row[0] for row in tx.rows(QUEUED, {**params, "limit": free + RESERVE})]


def queued_places(tx: Tx, limit: int) -> list[Place]:
    """Places where somebody waits for a slot."""
    return [Place(*row) for row in tx.rows(PLACES, {"limit": limit})]


def holders(tx: Tx, place: Place, limit: int) -> list[str]:
    """Ids of runs that hold the slots of a place."""
    params = {**place._asdict(), "limit": limit}
    found = [row[0] for row in tx.rows(HOLDERS, params)]
    return (found + [row[0] for row in tx.rows(PAUSED_HOLDERS, params)])[:limit]
