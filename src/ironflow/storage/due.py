"""The shape of a loop that does what is due: look, do one batch, look again."""

from collections.abc import Callable

from ironflow.base.time import Millis
from ironflow.storage.port import Database, Tx


async def run_due(
    db: Database, next_due: Callable[[Tx], Millis | None], work: Callable[[Tx], int], now: Millis
) -> tuple[int, Millis | None]:
    """How much was done, and when the next thing is due, None for nothing in sight.

    next_due: when the earliest thing is due, in one statement. work: takes and does one batch of what is due at `now`;
    how much it was.
    """
    # Looking is cheap and off the writer; most rounds find nothing due.
    next_at = await db.peek_once(next_due)
    if next_at is None or next_at > now:
        return 0, next_at
    done = await db.write(work)
    return done, await db.peek_once(next_due)
