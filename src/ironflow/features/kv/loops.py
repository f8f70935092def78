"""What goes on by itself: what has expired is removed in small transactions."""

from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.features.kv import store
from ironflow.features.kv.rules import PURGES_KEPT_MS
from ironflow.storage.port import Database, Tx

BATCH = 500


@dataclass(frozen=True, slots=True)
class Expired:
    """What one round did. more: there are expired entries left."""

    removed: int
    more: bool


class Expire:
    """Removes expired entries, which readers do not see in the meantime, and forgets old purges."""

    name = "kv-expire"
    every_ms = 5_000

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Expired:
        removed = await self._db.write(lambda tx: store.forget_purges(tx, now - PURGES_KEPT_MS, BATCH))
        more = removed == BATCH
        for environment, name, _ in await self._db.read(store.ttl_buckets):

            def remove(tx: Tx, environment: str = environment, name: str = name) -> int:
                bucket = store.bucket(tx, environment, name, to_write=True)
                if bucket is None or not bucket.ttl_ms:
                    return 0
                return store.remove_expired(tx, environment, bucket, now, BATCH)

            gone = await self._db.write(remove)
            removed += gone
            more = more or gone == BATCH
        return Expired(removed=removed, more=more)
