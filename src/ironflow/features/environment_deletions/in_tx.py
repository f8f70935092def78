"""What the feature of environments does with deletions inside its own transactions."""

from ironflow.base.time import Millis
from ironflow.features.environment_deletions import store
from ironflow.features.environment_deletions.rules import DeletionRow
from ironflow.features.environment_deletions.store import is_taken as is_taken
from ironflow.storage.port import Tx

# Notified when there is a deletion to go on with.
STARTED = "environment_deletions"


def start(tx: Tx, environment_id: str, name: str, rows_as: str, started_by: str, now: Millis) -> None:
    """From the commit on, the rows of the environment are removed. Its own row has been deleted."""
    store.add(
        tx,
        DeletionRow(
            id=environment_id,
            name=name,
            rows_as=rows_as,
            status="deleting",
            at_table="",
            rows_removed=0,
            rows_of_pass=0,
            started_by=started_by,
            started_at=now,
            updated_at=now,
            ended_at=0,
        ),
    )
    tx.notify(STARTED)
