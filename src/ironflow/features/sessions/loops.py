"""What goes on by itself: sessions expire, and wrong passwords are forgotten."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.sessions import store
from ironflow.features.sessions.authenticator import Sessions
from ironflow.storage.port import Database

BATCH = 500


class LookAgain:
    """Closes the connections of sessions that have expired, or whose end or change this node has missed."""

    name = "sessions"
    topic = ""
    every_ms = 5_000
    notable = ("ended",)

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        ended, next_at = await self._sessions.look_again(now)
        return Ran({"ended": ended} if ended else {}, next_at=next_at)


class Forget:
    """Removes sessions that have expired, and wrong passwords from long ago."""

    name = "sessions-forget"
    topic = ""
    every_ms = 60_000
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Ran:
        """One small transaction of each."""
        expired = await self._db.write(lambda tx: store.delete_expired(tx, now, BATCH))
        forgotten = await self._db.write(lambda tx: store.forget_failures(tx, now, BATCH))
        return Ran({"expired": expired, "forgotten": forgotten}, more=BATCH in (expired, forgotten))
