"""What goes on by itself: events are counted after they are recorded, so that an emit costs nothing more."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.usage import rules, store
from ironflow.log.read import head as log_head
from ironflow.storage.port import Database, Tx


class CountUsage:
    """Adds up the bytes of new events, and counts all of them again from time to time, a chunk in each round."""

    name = "usage"
    topic = ""
    every_ms = 5_000
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Ran:
        head, last = await self._db.peek(lambda tx: (store.head(tx), log_head(tx)))
        chunk = rules.decide_chunk(head, last, now)
        if chunk is None:
            return Ran()
        # Read outside the transaction that writes: on SQLite that one runs on the event loop.
        found = await self._db.read(lambda tx: store.sums(tx, chunk))

        def save(tx: Tx) -> bool:
            if store.head(tx, to_write=True) != head:
                # Another node has counted it.
                return False
            if not chunk.again:
                store.add(tx, found)
                store.save_head(tx, head._replace(counted=chunk.until))
                return True
            store.add_again(tx, found)
            if chunk.until < head.counted:
                store.save_head(tx, head._replace(pass_cursor=chunk.until))
            else:
                store.end_pass(tx, rules.day_of(now) - rules.DAYS_KEPT + 1)
                store.save_head(tx, head._replace(pass_cursor=0, passed_at=now))
            return True

        counted = await self._db.write(save)
        return Ran(more=counted and (chunk.until < (head.counted if chunk.again else last) or not chunk.again))
