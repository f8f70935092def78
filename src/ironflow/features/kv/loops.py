"""What goes on by itself: what has expired is removed in small transactions."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.kv import store
from ironflow.features.kv.rules import PURGES_KEPT_MS
from ironflow.storage.port import Database, Tx

BATCH = 500


class Expire:
    """Removes expired entries, which readers do not see in the meantime, and forgets old purges."""

    name = "kv-expire"
    every_ms = 5_000
    topic = ""
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Ran:
        removed = await self._db.write(lambda tx: store.forget_purges(tx, now - PURGES_KEPT_MS, BATCH))
        more = removed == BATCH
        for environment, name, _ in await self._db.read(store.ttl_buckets):

            def remove(tx: Tx, environment: str = environment, name: str = name) -> int:
                bucket = store.bucket(tx, environment, name, to_write=True)
                if bucket is None or not bucket.ttl_ms:
                    return 0
                return store.remove_expired(tx, environment, bucket, now, BATCH)

            expired = await self._db.write(remove)
            removed += expired
            more = more or expired == BATCH
        return Ran({"removed": removed}, more=more)
