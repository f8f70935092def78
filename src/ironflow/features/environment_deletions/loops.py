"""What goes on by itself: environments that are being deleted lose their rows, a few in each transaction."""

from collections.abc import Callable, Mapping

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.environment_deletions import rules, store
from ironflow.features.environment_deletions.in_tx import STARTED
from ironflow.features.environment_deletions.rules import DeletionRow
from ironflow.storage.port import Database, Tx

# Rows of one transaction, so that workers' reports get their turn in between; and parents whose children it looks at.
BATCH = 500
PARENTS = 50

# Deletes some rows of an environment, up to a limit, with what is beside them. Returns how many.
DeleteSome = Callable[[Tx, str, int], int]


class DeleteRows:
    """Works on the oldest deletion; its progress is in the same transaction, so that a crash costs one batch.

    by_feature: what deletes rows of a table, where rows of other tables go or change with them.
    After the last table it begins anew, until a pass over all of them finds nothing.
    """

    name = "environment-deletions"
    topic = STARTED
    every_ms = 2_000
    notable = ("removed", "ended")

    def __init__(self, db: Database, by_feature: Mapping[str, DeleteSome]) -> None:
        self._db = db
        self._by_feature = by_feature

    async def run_once(self, now: Millis) -> Ran:
        if not await self._db.peek(store.any_under_way):
            return Ran()
        return await self._db.write(lambda tx: self._advance(tx, now))

    def _advance(self, tx: Tx, now: Millis) -> Ran:
        deletion = store.next_deletion(tx)
        if deletion is None:
            return Ran()
        table = deletion.at_table if deletion.at_table in rules.TABLES else rules.TABLES[0]
        while table:
            removed = self._delete_some(tx, table, deletion.rows_as)
            if removed:
                _save(tx, deletion, now, at_table=table, removed=removed)
                return Ran({"removed": removed}, more=True)
            table = rules.table_after(table)
        if rules.decide_end(deletion, now):
            store.save(tx, deletion._replace(status="deleted", at_table="", updated_at=now, ended_at=now))
            return Ran({"ended": 1}, more=True)
        # Another pass: at once where this one found something, else when requests from before have ended.
        store.save(tx, deletion._replace(at_table="", rows_of_pass=0, updated_at=now))
        if deletion.rows_of_pass:
            return Ran(more=True)
        return Ran(next_at=deletion.started_at + rules.SETTLED_MS)

    def _delete_some(self, tx: Tx, table: str, rows_as: str) -> int:
        by_feature = self._by_feature.get(table)
        return _delete_some(tx, table, rows_as) if by_feature is None else by_feature(tx, rows_as, BATCH)


def _save(tx: Tx, deletion: DeletionRow, now: Millis, *, at_table: str, removed: int) -> None:
    store.save(
        tx,
        deletion._replace(
            at_table=at_table,
            rows_removed=deletion.rows_removed + removed,
            rows_of_pass=deletion.rows_of_pass + removed,
            updated_at=now,
        ),
    )


def _delete_some(tx: Tx, table: str, rows_as: str) -> int:
    """How many rows of the table and its children were removed; 0 when there are none left."""
    children = rules.CHILDREN.get(table)
    if children is None:
        return store.delete_rows(tx, table, rows_as, BATCH)
    column = children[0].parent_column
    ids = store.parents(tx, table, column, rows_as, PARENTS)
    removed = 0
    for child in children:
        if removed < BATCH:
            removed += store.delete_children(tx, child, ids, BATCH - removed)
    if removed < BATCH and ids:
        removed += store.delete_parents(tx, table, column, rows_as, ids)
    return removed
