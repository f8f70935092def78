"""Slots are counted from the jobs and runs that hold them; no counter is stored."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.engine.admission import Queued, decide_admissions
from ironflow.features.functions.in_tx import Startable
from ironflow.features.slots.rules import ACTOR_PREFIX, SlotPool, pool_of, slot_limit
from ironflow.storage.port import Tx

# Free slots of a function without a limit.
UNLIMITED = 1_000
# Queued runs read beyond the free slots, as some of them wait for their second slot.
AHEAD = 5
OCCUPIED = "('ready', 'reserved', 'held')"
_OF = "environment = :environment AND function_id = :function_id"
_KEPT = "status = 'paused' AND holds_slot = 1 AND paused_from = '' AND hold <> 'kept'"
# Of runs that keep their slot to their end, those without a job.
_HELD = "hold = 'kept' AND status IN ('waiting', 'paused')"
# Slots of limits that functions share are found by their own index.
_SHARED = "environment = :environment AND substr(slot_key, 1, 6) = 'scope:'"

# Admission to one pool locks that pool. Admission to two at once locks the function.
LOCK_POOL = "{lock_pool}"
LOCK_FUNCTION = "{lock_key}"
TAKEN = f"""SELECT slot_key, count(*) FROM (
 SELECT slot_key FROM jobs WHERE {_OF} AND slot_key IN {{each:keys}} AND state IN {OCCUPIED}
 UNION ALL SELECT limit_key FROM jobs WHERE {_OF} AND limit_key IN {{each:keys}} AND state IN {OCCUPIED}
 UNION ALL SELECT slot_key FROM runs WHERE {_OF} AND slot_key IN {{each:keys}} AND {_KEPT}
 UNION ALL SELECT limit_key FROM runs WHERE {_OF} AND limit_key IN {{each:keys}} AND {_KEPT}
 UNION ALL SELECT slot_key FROM runs WHERE {_OF} AND slot_key IN {{each:keys}} AND {_HELD}
) AS taken GROUP BY slot_key"""
TAKEN_SHARED = f"""SELECT slot_key, count(*) FROM (
 SELECT slot_key FROM jobs WHERE {_SHARED} AND slot_key IN {{each:keys}} AND state IN {OCCUPIED}
 UNION ALL SELECT slot_key FROM runs WHERE {_SHARED} AND slot_key IN {{each:keys}} AND {_KEPT}
 UNION ALL SELECT slot_key FROM runs WHERE {_SHARED} AND slot_key IN {{each:keys}} AND {_HELD}
) AS taken GROUP BY slot_key"""
_QUEUED = f"SELECT ready_at, run_id, slot_key, limit_key FROM jobs WHERE {_OF} AND state = 'queued'"
_NEXT = "AND (ready_at, run_id) > (:ready_at, :run_id) ORDER BY ready_at, run_id LIMIT :limit"
QUEUED_ALONE = f"{_QUEUED} AND slot_key = :slot_key AND limit_key IS NULL {_NEXT}"
QUEUED_SHARED = f"""SELECT ready_at, run_id, slot_key, limit_key FROM jobs
WHERE {_SHARED} AND state = 'queued' AND slot_key = :slot_key {_NEXT}"""
QUEUED_BY_SLOT = f"""{_QUEUED} AND slot_key = :slot_key
 AND (limit_key IS NULL OR limit_key NOT IN {{each:full}}) {_NEXT}"""
QUEUED_BY_LIMIT = f"{_QUEUED} AND limit_key = :slot_key AND slot_key NOT IN {{each:full}} {_NEXT}"
POOLS = """SELECT DISTINCT environment, function_id, slot_key, limit_key FROM jobs
WHERE slot_key IS NOT NULL AND state = 'queued' LIMIT :limit"""
HOLDERS = f"""SELECT run_id FROM jobs WHERE {_OF} AND slot_key = :slot_key AND state IN {OCCUPIED}
UNION SELECT run_id FROM jobs WHERE {_OF} AND limit_key = :slot_key AND state IN {OCCUPIED}
ORDER BY run_id LIMIT :limit"""
# Sorted after all are found: SQLite would read all runs of the function by id to save the sorting.
PAUSED_HOLDERS = f"""SELECT DISTINCT id FROM (
 SELECT id FROM runs WHERE {_OF} AND slot_key = :slot_key AND {_KEPT}
 UNION ALL SELECT id FROM runs WHERE {_OF} AND limit_key = :slot_key AND {_KEPT}
 UNION ALL SELECT id FROM runs WHERE {_OF} AND slot_key = :slot_key AND {_HELD}
) AS found ORDER BY id LIMIT :limit"""
SHARED_HOLDERS = f"""SELECT run_id FROM jobs WHERE {_SHARED} AND slot_key = :slot_key AND state IN {OCCUPIED}
UNION SELECT id FROM runs WHERE {_SHARED} AND slot_key = :slot_key AND {_KEPT}
UNION SELECT id FROM runs WHERE {_SHARED} AND slot_key = :slot_key AND {_HELD}
ORDER BY run_id LIMIT :limit"""


# Of each key, how many runs hold its slots and how many are queued for one.
OCCUPATION = f"""SELECT slot_key, sum(held), sum(waiting) FROM (
 SELECT slot_key, CASE state WHEN 'queued' THEN 0 ELSE 1 END AS held,
  CASE state WHEN 'queued' THEN 1 ELSE 0 END AS waiting
 FROM (SELECT slot_key, state FROM jobs WHERE {_OF} AND slot_key IS NOT NULL LIMIT :limit) AS first_slots
 UNION ALL
 SELECT limit_key, CASE state WHEN 'queued' THEN 0 ELSE 1 END, CASE state WHEN 'queued' THEN 1 ELSE 0 END
 FROM (SELECT limit_key, state FROM jobs WHERE {_OF} AND limit_key IS NOT NULL LIMIT :limit) AS second_slots
 UNION ALL SELECT slot_key, 1, 0 FROM runs WHERE {_OF} AND slot_key IS NOT NULL AND {_KEPT}
 UNION ALL SELECT limit_key, 1, 0 FROM runs WHERE {_OF} AND limit_key IS NOT NULL AND {_KEPT}
 UNION ALL SELECT slot_key, 1, 0 FROM runs WHERE {_OF} AND slot_key IS NOT NULL AND {_HELD}
) AS found GROUP BY slot_key"""
_LONGEST = "ORDER BY ready_at, run_id LIMIT :limit"
WAITING = (
    f"SELECT ready_at, run_id FROM jobs WHERE {_OF} AND state = 'queued' AND slot_key = :slot_key {_LONGEST}",
    f"SELECT ready_at, run_id FROM jobs WHERE {_OF} AND state = 'queued' AND limit_key = :slot_key {_LONGEST}",
)
WAITING_SHARED = (
    f"SELECT ready_at, run_id FROM jobs WHERE {_SHARED} AND state = 'queued' AND slot_key = :slot_key {_LONGEST}",
)


class Occupation(NamedTuple):
    """Runs of one function that hold slots of a key, and that are queued for one."""

    slot_key: str
    held: int
    waiting: int


class Gate:
    """Admits runs to pools of one function, or of limits that functions share; they stay locked until the commit.

    limits: of the pools, by slot key.
    """

    def __init__(
        self, tx: Tx, pools: Iterable[SlotPool], function: Startable | None, limits: Mapping[str, int]
    ) -> None:
        pools = sorted(pools)
        self._tx = tx
        self._function = function
        self._limits = limits
        self._shared = not pools[0].function_id
        self._keys = list(dict.fromkeys(pool.slot_key for pool in pools))
        self._of = {"environment": pools[0].environment, "function_id": pools[0].function_id}
        both = function is not None and bool(function.actor_key and function.concurrency_limit)
        # Runs that need two slots are admitted only under the lock of the function.
        self._paired = both or any(pool.paired for pool in pools)
        lock = "/".join(self._of.values())
        if self._paired:
            tx.rows(LOCK_FUNCTION, {"lock": lock})
            return
        for key in self._keys:
            tx.rows(LOCK_POOL, {"function": lock, "lock": f"{lock}/{key}"})

    def next_admitted(self, passed_over: Collection[str] = ()) -> list[str]:
        """Ids of runs that may be admitted now, the longest waiting first. passed_over: ids of runs to leave out."""
        free = self._free(self._keys)
        admitted: list[str] = []
        after: tuple[Millis, str] | None = (-1, "")
        ahead = AHEAD
        while after is not None:
            queue, after = self._ahead(free, after, ahead)
            free |= self._free({key for each in queue for key in each.keys} - free.keys())
            for each in decide_admissions((each for each in queue if each.run_id not in passed_over), free):
                admitted.append(each.run_id)
                for key in each.keys:
                    free[key] -= 1
            ahead *= 4
        return admitted

    def _free(self, keys: Collection[str]) -> dict[str, int]:
        """How many slots each key has left."""
        if not keys:
            return {}
        sql = TAKEN_SHARED if self._shared else TAKEN
        taken = {row[0]: row[1] for row in self._tx.rows(sql, {**self._of, "keys": list(keys)})}
        limits = {key: self._limits[key] if key in self._limits else slot_limit(self._function, key) for key in keys}
        return {key: limits[key] - taken.get(key, 0) if limits[key] else UNLIMITED for key in keys}

    def _ahead(
        self, free: dict[str, int], after: tuple[Millis, str], ahead: int
    ) -> tuple[list[Queued], tuple[Millis, str] | None]:
        """The next queued runs that a free slot is for, without those whose second slot is known to be taken.

        Also the position to continue after, None at the end of the queue.
        """
        full = [key for key, left in free.items() if left <= 0]
        found: set[Queued] = set()
        ends: list[tuple[Millis, str]] = []
        for key in self._keys:
            if free[key] <= 0:
                continue
            limit = free[key] + ahead
            page = self._page(key, full, after, limit)
            found.update(page)
            if len(page) == limit:
                ends.append(page[-1][:2])
        if not ends:
            return sorted(found), None
        # Beyond the end of the shortest page, that queue may have a run that waits longer.
        end = min(ends)
        return sorted(each for each in found if each[:2] <= end), end

    def _page(self, key: str, full: list[str], after: tuple[Millis, str], limit: int) -> list[Queued]:
        params = {**self._of, "slot_key": key, "ready_at": after[0], "run_id": after[1], "limit": limit}
        if self._shared:
            return [_queued(*row) for row in self._tx.rows(QUEUED_SHARED, params)]
        if not self._paired:
            return [_queued(*row) for row in self._tx.rows(QUEUED_ALONE, params)]
        params["full"] = full
        rows = self._tx.rows(QUEUED_BY_SLOT, params)
        if not key.startswith(ACTOR_PREFIX):
            rows = sorted(rows + self._tx.rows(QUEUED_BY_LIMIT, params))[:limit]
        return [_queued(*row) for row in rows]


def _queued(ready_at: Millis, run_id: str, slot_key: str, limit_key: str | None) -> Queued:
    return Queued(ready_at, run_id, (slot_key,) if limit_key is None else (slot_key, limit_key))


def queued_pools(tx: Tx, limit: int) -> list[SlotPool]:
    """Pools that a run is queued for."""
    found: list[SlotPool] = []
    for environment, function_id, slot_key, limit_key in tx.rows(POOLS, {"limit": limit}):
        keys = [slot_key] if limit_key is None else [slot_key, limit_key]
        found += [pool_of(environment, function_id, key, paired=len(keys) > 1) for key in keys]
    return found


def holders(tx: Tx, pool: SlotPool, limit: int) -> list[str]:
    """Ids of runs that hold the slots of a pool."""
    params = {**pool._asdict(), "limit": limit}
    if not pool.function_id:
        return [row[0] for row in tx.rows(SHARED_HOLDERS, params)]
    found = [row[0] for row in tx.rows(HOLDERS, params)]
    return (found + [row[0] for row in tx.rows(PAUSED_HOLDERS, params)])[:limit]


def waiting(tx: Tx, pool: SlotPool, limit: int) -> list[str]:
    """Ids of runs that are queued for a slot of a pool, the one that waits longest first."""
    params = {**pool._asdict(), "limit": limit}
    found = {tuple(row) for sql in (WAITING if pool.function_id else WAITING_SHARED) for row in tx.rows(sql, params)}
    return [run_id for _, run_id in sorted(found)][:limit]


def occupation(tx: Tx, environment: str, function_id: str, limit: int) -> tuple[list[Occupation], bool]:
    """Holders and waiting runs by slot key of a function, and whether it has more than `limit` jobs."""
    params = {"environment": environment, "function_id": function_id, "limit": limit}
    found = [Occupation(row[0], int(row[1]), int(row[2])) for row in tx.rows(OCCUPATION, params)]
    return found, sum(each.held + each.waiting for each in found) >= limit
