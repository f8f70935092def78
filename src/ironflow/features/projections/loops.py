"""What goes on by itself: rebuilds with nothing left to fold are ended, and states without readers are removed."""

from dataclasses import replace

from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.projections import feeding, rules, saving, store
from ironflow.features.projections.rules import RebuildRow
from ironflow.storage.port import Database, Tx

BATCH = 500
REBUILDS = 100


class EndRebuilds:
    """Ends rebuilds whose last events are saved, also where the rest of the log has none for them."""

    name = "projections-rebuilds"
    every_ms = 1_000
    topic = ""
    notable = ("ended",)

    def __init__(self, db: Database) -> None:
        self._db = db
        # Rebuild id -> up to where nothing is left to save.
        self._searched: dict[str, int] = {}

    async def run_once(self, now: Millis) -> Ran:
        ended, more, cursor = 0, False, ""
        running: list[RebuildRow] = []
        while page := await self._db.read(lambda tx, after=cursor: store.running(tx, after, REBUILDS)):
            running += page
            cursor = page[-1].id
        for each in running:
            searched, found, target = await self._db.read(lambda tx, each=each: self._search(tx, each))
            self._searched[each.id] = searched
            if not found and searched >= target:
                ended += await self._db.write(lambda tx, each=each, to=searched: _end(tx, each.id, to, now))
            elif not found:
                more = True
        going = {each.id for each in running}
        self._searched = {key: place for key, place in self._searched.items() if key in going}
        return Ran({"ended": ended}, more=more)

    def _search(self, tx: Tx, rebuild: RebuildRow) -> tuple[int, bool, int]:
        """Up to where nothing is left to save, whether something comes then, and where the rebuild ends."""
        projection = store.projection(tx, rebuild.environment, rebuild.name)
        if projection is None or projection.rebuild_id != rebuild.id:
            return 0, True, 0
        after = max(rebuild.cursor, self._searched.get(rebuild.id, 0))
        found = feeding.next_events(tx, projection, rules.feed_of(projection, rebuild), after, 1)
        searched = found.events[0].record.position - 1 if found.events else found.searched
        return searched, bool(found.events), rules.target_of(projection, rebuild)


def _end(tx: Tx, rebuild_id: str, searched: int, now: Millis) -> int:
    """searched: up to there nothing is left to save. What readers see may have come farther meanwhile."""
    rebuild = store.rebuild(tx, rebuild_id)
    if rebuild is None:
        return 0
    projection = store.projection(tx, rebuild.environment, rebuild.name, to_write=True)
    rebuild = store.rebuild(tx, rebuild_id)
    if projection is None or rebuild is None or projection.rebuild_id != rebuild_id:
        return 0
    target = rules.target_of(projection, rebuild)
    if max(searched, rebuild.cursor) < target:
        return 0
    saving.finish(tx, projection, replace(rebuild, cursor=max(rebuild.cursor, target)), now)
    return 1


class ForgetStates:
    """Removes states of versions that were replaced, and those of the history that are older than it reaches back."""

    name = "projections-forget"
    every_ms = 10_000
    topic = ""
    notable = ()

    def __init__(self, db: Database, history_days: float) -> None:
        self._db = db
        self._history_ms = int(history_days * DAY_MS)

    async def run_once(self, now: Millis) -> Ran:
        old = await self._db.write(lambda tx: store.delete_old_states(tx, now - self._history_ms, BATCH))
        dropped = await self._db.write(lambda tx: store.delete_dropped_states(tx, BATCH))
        left = bool(await self._db.read(lambda tx: store.dropped_generations(tx, 1)))
        return Ran({"removed": old + dropped}, more=old == BATCH or left)
