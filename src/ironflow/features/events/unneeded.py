"""Removing recorded events that nothing refers to any more, when streams or runs are deleted. Source: decision 0019.

Events that are too old are deleted by the loop `PurgeEvents` of `loops.py`.
"""

from collections.abc import Sequence

from ironflow.features.debounces import in_tx as debounces
from ironflow.features.events import store
from ironflow.features.runs.in_tx import RunRepository
from ironflow.log.holds import Hold
from ironflow.log.record import Record
from ironflow.storage.port import Tx


def delete_unneeded(tx: Tx, records: Sequence[Record], holds: Sequence[Hold]) -> int:
    """Removes those that every reader of the log has read and that no run and no gathering lane needs; how many."""
    read_by_all = min((held.position for hold in holds if (held := hold(tx)) is not None), default=None)
    ids = [each.id for each in records if read_by_all is None or each.position <= read_by_all]
    # Lanes first: one that starts its run between the two looks is found by the second.
    needed = debounces.gathered(tx, ids) if ids else set[str]()
    needed |= RunRepository.started_by(tx, ids).keys() if ids else set()
    removed = [event_id for event_id in ids if event_id not in needed]
    store.delete(tx, removed)
    return len(removed)
