"""Between nodes: how many plain subscriptions each node has to topics, so that any node can count them.

Rows are written every few seconds while there are such subscriptions, and count for three times as long: those of a
node that died are forgotten by then.
"""

from collections.abc import Mapping

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.subscriptions import store
from ironflow.features.subscriptions.log_feed import LogFeed
from ironflow.storage.port import Database, Tx

EVERY_MS = 5_000
EXPIRES_MS = 3 * EVERY_MS
PATTERNS_MAX = 1_000


class TopicPresence:
    """A loop. node: this process's own name among nodes."""

    name = "topic-subscribers"
    every_ms = EVERY_MS
    topic = ""
    notable = ()

    def __init__(self, db: Database, feed: LogFeed, node: str) -> None:
        self._db = db
        self._feed = feed
        self._node = node
        self._written: Mapping[store.TopicPlace, int] = {}

    async def run_once(self, now: Millis) -> Ran:
        present = dict(list(self._feed.topic_subscribers().items())[:PATTERNS_MAX])
        if not present and not self._written:
            return Ran()

        def write(tx: Tx) -> None:
            store.replace_topic_subscribers(tx, self._node, present, now)
            store.delete_old_topic_subscribers(tx, now - EXPIRES_MS)

        await self._db.write(write)
        self._written = present
        return Ran()
