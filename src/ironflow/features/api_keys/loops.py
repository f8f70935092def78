"""What goes on by itself: keys expire, and their last use is written down."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.api_keys import store
from ironflow.features.api_keys.authenticator import Authenticator
from ironflow.storage.port import Database

# A key's last use is written at most this often.
USED_EVERY_MS = 60_000


class LookAgain:
    """Closes the connections of keys that have expired, or whose change or revocation this node has missed."""

    name = "api-keys"
    topic = ""
    every_ms = 5_000
    notable = ("ended",)

    def __init__(self, db: Database, authenticator: Authenticator) -> None:
        self._db, self._authenticator = db, authenticator
        self._written_at = 0

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        ended, next_at = await self._authenticator.look_again(now)
        if now - self._written_at >= USED_EVERY_MS:
            self._written_at = now
            used = self._authenticator.take_used()
            if used:
                await self._db.write(lambda tx: store.mark_used(tx, used))
        return Ran({"ended": ended} if ended else {}, next_at=next_at)
