"""What goes on by itself: counted refusals become notes, and old notes are removed from the beginning of the chain."""

from itertools import takewhile

from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.audit_notes import in_tx, store
from ironflow.features.audit_notes.rules import LATE_MS, MINUTE_MS
from ironflow.features.audit_notes.service import Refusals, Signer, removed
from ironflow.storage.port import Database, StorageFailed, Tx

BATCH = 500
# Without refusals of this node, those of others are looked for this often.
LOOK_EVERY_MS = 30_000


class NoteRefusals:
    """Writes counts of refusals each second, and makes one note of each when its minute is over."""

    name = "audit-refusals"
    every_ms = 1_000
    topic = ""
    notable = ()

    def __init__(self, db: Database, refusals: Refusals) -> None:
        self._db, self._refusals = db, refusals
        self._look_at: Millis = 0

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        counts = self._refusals.take()
        if counts:
            try:
                await self._db.write(lambda tx: store.count_refusals(tx, counts))
            except StorageFailed:
                self._refusals.put_back(counts)
                raise
            self._look_at = min(self._look_at, now + MINUTE_MS + LATE_MS)
        if now < self._look_at:
            return Ran()
        minute = now - LATE_MS - MINUTE_MS
        if not await self._db.read(lambda tx: store.closed_refusals(tx, minute, 1)):
            self._look_at = now + LOOK_EVERY_MS
            return Ran()

        def change(tx: Tx) -> int:
            # The head first: of several nodes one finds the counts.
            store.head(tx, to_write=True)
            closed = store.closed_refusals(tx, minute, BATCH)
            for refusal, number in closed:
                times = "once" if number == 1 else f"{number} times"
                payload = {
                    "summary": f"{refusal.action} was refused {times} with {refusal.code}",
                    "operation": refusal.action,
                    "code": refusal.code,
                    "address": refusal.address or None,
                    "refusals": number,
                    "minute": refusal.minute,
                }
                in_tx.append(tx, refusal.environment, now, "access.refused", refusal.actor, payload)
                store.forget_refusal(tx, refusal)
            return len(closed)

        return Ran({"noted": await self._db.write(change)}, more=True)


class PurgeNotes:
    """Removes notes that are older than `retention_days` from the beginning of the chain; 0 keeps all."""

    name = "audit-purge"
    every_ms = 60_000
    topic = ""
    notable = ("purged",)

    def __init__(self, db: Database, retention_days: float, signer: Signer) -> None:
        self._db, self._signer = db, signer
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        if not self._retention_ms:
            return Ran()
        oldest = now - self._retention_ms

        def change(tx: Tx) -> int:
            head = store.head(tx, to_write=True)
            old = [*takewhile(lambda note: note.at < oldest, store.after(tx, head.anchor_position, BATCH))]
            if old:
                store.delete_up_to(tx, old[-1].position)
                store.save_head(tx, removed(head, old[-1], self._signer))
            return len(old) + store.delete_before_the_chain(tx, oldest)

        purged = await self._db.write(change)
        return Ran({"purged": purged} if purged else {}, more=purged >= BATCH)
