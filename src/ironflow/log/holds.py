"""What retention waits for: followers of the log that have not read as far as it would remove.

A hold returns the slowest follower of a feature, from the cursors that the feature keeps. Features add theirs when they
are installed (`features/parts.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

from ironflow.storage.port import Tx


class Held(NamedTuple):
    """A follower by a name that its users know, and the last position that it has read."""

    reader: str
    position: int


Hold = Callable[[Tx], Held | None]
