"""Who may run under a concurrency limit. Slots are counted from what holds them, never kept as a number.

A run whose function has a limit is `queued` until it is admitted to its key; then it keeps the slot until its lease
ends: by waiting, ending or pausing. A run that is paused while it has a slot keeps it, unless its function says
`release`; one that slept, waited or queued had none, and takes none by being paused. A run that needs two slots, of
its actor and of its function's limit, gets both or none.
"""

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.engine.admission import Queued, decide_admissions
from ironflow.engine.model import Run
from ironflow.features.functions.index import Startable
from ironflow.storage.port import Tx

# Serial execution for each value of a function's actor key.
ACTOR_PREFIX = "actor:"
KEY_PREFIX = "key:"


class Place(NamedTuple):
    """Runs of one function that share slots. paired: one of them needs a slot of another place, too."""

    environment: str
    function_id: str
    slot_key: str
    paired: bool = False


# As many as this when a function has no limit any more.
UNLIMITED = 1_000
# More of the queue than there are free slots, for those that have to wait for their other slot.
AHEAD = 5
OCCUPIED = "('ready', 'reserved', 'held')"
_OF = "environment = :environment AND function_id = :function_id"
_KEPT = "status = 'paused' AND holds_slot = 1 AND paused_from = ''"

# Whoever admits to one place only counts that place; who admits to two at once is alone with the function.
LOCK_PLACE = "{lock_place}"
LOCK_FUNCTION = "{lock_key}"
TAKEN = f"""SELECT slot_key, count(*) FROM (
 SELECT slot_key FROM jobs WHERE {_OF} AND slot_key IN {{each:keys}} AND state IN {OCCUPIED}
 UNION ALL SELECT limit_key FROM jobs WHERE {_OF} AND limit_key IN {{each:keys}} AND state IN {OCCUPIED}
 UNION ALL SELECT slot_key FROM runs WHERE {_OF} AND slot_key IN {{each:keys}} AND {_KEPT}
 UNION ALL SELECT limit_key FROM runs WHERE {_OF} AND limit_key IN {{each:keys}} AND {_KEPT}
) AS taken GROUP BY slot_key"""
_QUEUED = f"SELECT ready_at, run_id, slot_key, limit_key FROM jobs WHERE {_OF} AND state = 'queued'"
_NEXT = "AND (ready_at, run_id) > (:ready_at, :run_id) ORDER BY ready_at, run_id LIMIT :limit"
QUEUED_ALONE = f"{_QUEUED} AND slot_key = :slot_key AND limit_key IS NULL {_NEXT}"
QUEUED_BY_SLOT = f"""{_QUEUED} AND slot_key = :slot_key
 AND (limit_key IS NULL OR limit_key NOT IN {{each:full}}) {_NEXT}"""
QUEUED_BY_LIMIT = f"{_QUEUED} AND limit_key = :slot_key AND slot_key NOT IN {{each:full}} {_NEXT}"
PLACES = """SELECT DISTINCT environment, function_id, slot_key, limit_key FROM jobs
WHERE slot_key IS NOT NULL AND state = 'queued' LIMIT :limit"""
HOLDERS = f"""SELECT run_id FROM jobs WHERE {_OF} AND slot_key = :slot_key AND state IN {OCCUPIED}
UNION SELECT run_id FROM jobs WHERE {_OF} AND limit_key = :slot_key AND state IN {OCCUPIED}
ORDER BY run_id LIMIT :limit"""
PAUSED_HOLDERS = f"""SELECT id FROM runs WHERE {_OF} AND slot_key = :slot_key AND {_KEPT}
UNION SELECT id FROM runs WHERE {_OF} AND limit_key = :slot_key AND {_KEPT} ORDER BY id LIMIT :limit"""


def places_of(run: Run) -> list[Place]:
    """The places whose slots a run needs, none when its function has no limit."""
    keys = run.slot_keys
    return [Place(run.environment, run.function_id, key, len(keys) > 1) for key in keys]


def slot_limit(function: Startable | None, slot_key: str) -> int:
    """How many runs of a function with that slot key may run at a time; 0 for any number."""
    if function is None:
        return 0
    if slot_key.startswith(ACTOR_PREFIX):
        return 1 if function.actor_key else 0
    return function.concurrency_limit


class Gate:
    """The slots of places of one function, locked until the commit."""

    def __init__(self, tx: Tx, places: Iterable[Place], function: Startable | None) -> None:
        places = sorted(places)
        self._tx = tx
        self._function = function
        self._keys = list(dict.fromkeys(place.slot_key for place in places))
        self._of = {"environment": places[0].environment, "function_id": places[0].function_id}
        both = function is not None and bool(function.actor_key and function.concurrency_limit)
        # Runs that need two slots are left to those who come with one of them, or with a function that says so.
        self._paired = both or any(place.paired for place in places)
        lock = "/".join(self._of.values())
        if self._paired:
            tx.rows(LOCK_FUNCTION, {"lock": lock})
            return
        for key in self._keys:
            tx.rows(LOCK_PLACE, {"function": lock, "lock": f"{lock}/{key}"})

    def next_admitted(self, passed_over: Collection[str] = ()) -> list[str]:
        """The runs that may be admitted now, longest waiting first. passed_over: ids of runs that cannot be now."""
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
        taken = {row[0]: row[1] for row in self._tx.rows(TAKEN, {**self._of, "keys": list(keys)})}
        limits = {key: slot_limit(self._function, key) for key in keys}
        return {key: limits[key] - taken.get(key, 0) if limits[key] else UNLIMITED for key in keys}

    def _ahead(
        self, free: dict[str, int], after: tuple[Millis, str], ahead: int
    ) -> tuple[list[Queued], tuple[Millis, str] | None]:
        """The next of all that wait for a free slot, without those whose other slot is known to be taken.

        Also after whom to go on, None when these were all.
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
        # Beyond the end of the shortest page somebody of its queue may have waited longer.
        end = min(ends)
        return sorted(each for each in found if each[:2] <= end), end

    def _page(self, key: str, full: list[str], after: tuple[Millis, str], limit: int) -> list[Queued]:
        params = {**self._of, "slot_key": key, "ready_at": after[0], "run_id": after[1], "limit": limit}
        if not self._paired:
            return [_queued(*row) for row in self._tx.rows(QUEUED_ALONE, params)]
        params["full"] = full
        rows = self._tx.rows(QUEUED_BY_SLOT, params)
        if not key.startswith(ACTOR_PREFIX):
            rows = sorted(rows + self._tx.rows(QUEUED_BY_LIMIT, params))[:limit]
        return [_queued(*row) for row in rows]


def _queued(ready_at: Millis, run_id: str, slot_key: str, limit_key: str | None) -> Queued:
    return Queued(ready_at, run_id, (slot_key,) if limit_key is None else (slot_key, limit_key))


def by_function(places: Iterable[Place]) -> list[list[Place]]:
    """The places of each function, in the order in which they are locked."""
    return [list(group) for _, group in groupby(sorted(places), key=lambda place: place[:2])]


def queued_places(tx: Tx, limit: int) -> list[Place]:
    """Places where somebody waits for a slot."""
    found: list[Place] = []
    for environment, function_id, slot_key, limit_key in tx.rows(PLACES, {"limit": limit}):
        keys = [slot_key] if limit_key is None else [slot_key, limit_key]
        found += [Place(environment, function_id, key, len(keys) > 1) for key in keys]
    return found


def holders(tx: Tx, place: Place, limit: int) -> list[str]:
    """Ids of runs that hold the slots of a place."""
    params = {**place._asdict(), "limit": limit}
    found = [row[0] for row in tx.rows(HOLDERS, params)]
    return (found + [row[0] for row in tx.rows(PAUSED_HOLDERS, params)])[:limit]
