"""What goes on by itself: lanes whose events have paused start their runs."""

from dataclasses import dataclass

from ironflow.base.ids import Ids
from ironflow.base.time import Millis
from ironflow.features.debounces import store
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.runs.creation import Creation, creation
from ironflow.features.runs.ledger import Ledger
from ironflow.log.read import records
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

BATCH = 200


@dataclass(frozen=True, slots=True)
class Fired:
    """What one round did. more: the batch was full. next_at: when the next lane fires."""

    fired: int
    more: bool
    next_at: Millis | None


class FireDebounces:
    """Starts the run of each due lane with its last event, in the transaction that removes the lane."""

    name = "debounces"
    topic = "debounces"
    every_ms = 1_000

    def __init__(self, db: Database, ledger: Ledger, index: FunctionIndex, ids: Ids) -> None:
        self._db = db
        self._ledger = ledger
        self._index = index
        self._ids = ids

    async def run_once(self, now: Millis) -> Fired:
        fired, next_at = await run_due(self._db, store.next_due, lambda tx: self._fire(tx, now), now)
        return Fired(fired, more=fired == BATCH, next_at=next_at)

    def _fire(self, tx: Tx, now: Millis) -> int:
        self._index.refresh(tx)
        due = store.take_due(tx, now, BATCH)
        events = records(tx, [lane.event_id for lane in due])
        created: list[Creation] = []
        for lane in due:
            function = self._index.get(lane.environment, lane.function_id)
            event = events.get(lane.event_id)
            if function is not None and function.status == "active" and event is not None:
                created.append(creation(self._ids.new("run"), function, event))
        self._ledger.start(tx, created, [], now)
        return len(due)
