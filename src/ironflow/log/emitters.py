"""What the newest records are called and who wrote them: the columns that a map of flows needs, without data."""

from typing import NamedTuple

from ironflow.storage.port import Tx

# Positions that one call looks at: an environment may have few records of a long log.
LOOK = 100_000


class Emitted(NamedTuple):
    """emitter: the run, else what the record's writer is called; None where it is not known."""

    position: int
    kind: str
    name: str
    emitter: str | None


EMITTED = """SELECT position, kind, name, coalesce(run_id, emitted_by) FROM events {by_position}
WHERE environment = :environment AND position < :before AND position >= :from_position
ORDER BY position DESC LIMIT :limit"""


def emitted_before(tx: Tx, environment: str, before: int, limit: int) -> list[Emitted]:
    """Records below a position, the newest first, out of the LOOK positions below it."""
    params = {"environment": environment, "before": before, "from_position": before - LOOK, "limit": limit}
    return [Emitted(*row) for row in tx.rows(EMITTED, params)]
