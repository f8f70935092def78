"""The loop that starts the runs of lanes whose period is over."""

from ironflow.base.ids import Ids
from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.debounces import store
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.runs.in_tx import Claims, Creation, RunRepository, creation
from ironflow.log.read import records
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

BATCH = 200


class FireDebounces:
    """Starts the run of each due lane with its last event, in the transaction that removes the lane."""

    name = "debounces"
    topic = "debounces"
    every_ms = 1_000
    notable = ()

    def __init__(self, db: Database, repository: RunRepository, index: FunctionIndex, ids: Ids) -> None:
        self._db = db
        self._repository = repository
        self._index = index
        self._ids = ids

    async def run_once(self, now: Millis) -> Ran:
        fired, next_at = await run_due(self._db, store.next_due, lambda tx: self._fire(tx, now), now)
        return Ran({"fired": fired}, more=fired == BATCH, next_at=next_at)

    def _fire(self, tx: Tx, now: Millis) -> int:
        self._index.refresh(tx)
        due = store.take_due(tx, now, BATCH)
        events = records(tx, [lane.event_id for lane in due])
        created: list[Creation] = []
        claims = Claims(tx)
        for lane in due:
            function = self._index.get(lane.environment, lane.function_id)
            event = events.get(lane.event_id)
            if function is not None and function.status == "active" and event is not None:
                run = creation(self._ids.new("run"), function, event)
                if claims.claim(run, function.if_running).starts:
                    created.append(run)
        self._repository.start(tx, created, [], now, claims=claims)
        return len(due)
