"""Who still needs what is old: readers of the log that have not come as far as retention would remove.

A hold answers the slowest of its readers. Rooms with cursors of their own have one each; `server/house.py` lists them.
"""

from collections.abc import Callable
from typing import NamedTuple

from ironflow.storage.port import Tx

SLOWEST = "SELECT follower, position FROM log_cursors ORDER BY position LIMIT 1"


class Held(NamedTuple):
    """A reader by a name that people know, and the last position that it has read."""

    reader: str
    position: int


Hold = Callable[[Tx], Held | None]


def slowest_follower(tx: Tx) -> Held | None:
    """The follower of the log that has come least far; None when nobody follows."""
    row = tx.row(SLOWEST)
    return Held(row[0], row[1]) if row else None
