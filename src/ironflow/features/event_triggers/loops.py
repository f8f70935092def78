"""What goes on by itself: what was given is forgotten when its event is removed from the log."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.event_triggers import store
from ironflow.storage.port import Database, Tx

BATCH = 500


class ForgetGiven:
    """Deletes rows of events that retention has removed: they cannot be given again."""

    name = "event-triggers-forget"
    every_ms = 3_600_000
    topic = ""
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db
        # What lies before was looked at in this pass. A server that stops begins a new one.
        self._after = store.FIRST

    async def run_once(self, now: Millis) -> Ran:
        after = self._after

        def forget(tx: Tx) -> tuple[int, store.Given | None]:
            page = store.page_after(tx, after, BATCH)
            forgotten = store.forget_removed(tx, page) if page else 0
            return forgotten, page[-1] if len(page) == BATCH else None

        forgotten, last = await self._db.write(forget)
        self._after = last or store.FIRST
        return Ran({"forgotten": forgotten}, more=last is not None)
