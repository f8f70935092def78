"""Watching a bucket: its changes by revision, from any revision on, without a gap."""

from collections.abc import AsyncGenerator

from ironflow.base.time import Millis
from ironflow.features.kv import contract, store
from ironflow.features.kv.rules import BucketRow, EntryRow
from ironflow.features.kv.writing import bucket_not_found
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

BATCH = 500
# Looked at without a notification too, for one may be lost between nodes.
LOOK_AGAIN_S = 30.0

Change = tuple[EntryRow, bytes]


class Watcher:
    """One reader of a bucket's changes. Nothing is kept for it here: its place is a revision, which the client keeps.

    A slow reader costs no memory: it reads on in the table, where a key that changed twice is read once.
    """

    def __init__(self, db: Database, notifier: Notifier, environment: str, bucket: str) -> None:
        self._db, self._notifier = db, notifier
        self._environment, self._name = environment, bucket
        self._created_at: Millis = 0

    async def start(self, after: int | None) -> int:
        """The revision to begin after: `after`, else the newest now. Raises BucketNotFound, RevisionAhead."""
        bucket = await self._db.peek(self._bucket)
        self._created_at = bucket.created_at
        if after is None:
            return bucket.last_revision
        if after > bucket.last_revision:
            raise contract.RevisionAhead(
                f"Revision {after} of bucket {self._name!r} was asked for, it is at {bucket.last_revision}: it was "
                "deleted and made again. Read it anew and watch without `after`."
            )
        return after

    async def live(self, now: Millis) -> AsyncGenerator[Change, None]:
        """Every live entry by key. One that changes meanwhile comes again as a change."""
        cursor = ""
        while True:

            def look(tx: Tx, cursor: str = cursor) -> list[Change]:
                return store.live_after(tx, self._environment, self._bucket(tx), cursor, BATCH, now)

            found = await self._db.read(look)
            for change in found:
                yield change
            if len(found) < BATCH:
                return
            cursor = found[-1][0].key

    async def changes(self, after: int) -> AsyncGenerator[Change, None]:
        """Changes as they come, for ever. Raises BucketNotFound when the bucket is deleted."""

        def look(tx: Tx) -> list[Change]:
            bucket = self._bucket(tx)
            if bucket.last_revision <= after and bucket.created_at == self._created_at:
                return []
            if bucket.created_at != self._created_at:
                raise bucket_not_found(self._name, self._environment)
            return store.changes_after(tx, self._environment, self._name, after, BATCH)

        with self._notifier.waiter("kv", f"{self._environment}/{self._name}") as waiter:
            while True:
                found = await self._db.read(look)
                for change in found:
                    yield change
                    after = change[0].revision
                if not found:
                    await waiter.wait(LOOK_AGAIN_S)

    def _bucket(self, tx: Tx) -> BucketRow:
        bucket = store.bucket(tx, self._environment, self._name)
        if bucket is None:
            raise bucket_not_found(self._name, self._environment)
        return bucket
