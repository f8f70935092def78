"""What is remembered for the audit trail that no run's facts tell: notes."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.time_travel.in_tx import Place, Wanted
from ironflow.storage.port import Tx


class Note(NamedTuple):
    """One thing that somebody did. payload: a JSON object; function_id: empty where it is about none."""

    id: str
    environment: str
    at: Millis
    function_id: str
    event_type: str
    actor: str
    payload: str

    @property
    def place(self) -> Place:
        """Where it stands among the facts of runs; no run has such an id."""
        return Place(self.at, self.id, 0)


_COLUMNS = ", ".join(Note._fields)
ADD = f"""INSERT INTO audit_notes ({_COLUMNS})
VALUES (:id, :environment, :at, :function_id, :event_type, :actor, :payload)"""
_WANTED = """environment = :environment AND at >= :since AND at < :until
 AND (:function_id = '' OR function_id = :function_id) AND (:event_type = '' OR event_type = :event_type)
 AND (:actor = '' OR actor = :actor)"""
NEWEST = f"""SELECT {_COLUMNS} FROM audit_notes WHERE {_WANTED} AND (at, id) <= (:at, :id)
ORDER BY at DESC, id DESC LIMIT :limit"""
COUNT = f"SELECT count(*) FROM (SELECT 1 FROM audit_notes WHERE {_WANTED} LIMIT :limit) n"
PURGE = (
    "DELETE FROM audit_notes WHERE id IN (SELECT id FROM audit_notes WHERE at < :oldest ORDER BY at, id LIMIT :limit)"
)


def add(tx: Tx, note: Note) -> None:
    tx.run(ADD, note._asdict())


def newest(
    tx: Tx, environment: str, wanted: Wanted, event_type: str, actor: str, place: Place, limit: int
) -> list[Note]:
    """Up to `limit` notes that are wanted, newest first, from `place` on; none are about a single run."""
    if wanted.run_id:
        return []
    params = _params(environment, wanted, event_type, actor, limit)
    return [Note(*row) for row in tx.rows(NEWEST, {**params, "at": place.at, "id": place.run_id})]


def count(tx: Tx, environment: str, wanted: Wanted, event_type: str, actor: str, limit: int) -> int:
    """How many notes are wanted, at most `limit`."""
    if wanted.run_id:
        return 0
    row = tx.row(COUNT, _params(environment, wanted, event_type, actor, limit))
    return row[0] if row else 0


def purge(tx: Tx, oldest: Millis, limit: int) -> int:
    """Removes up to `limit` notes from before `oldest`; how many."""
    return tx.run(PURGE, {"oldest": oldest, "limit": limit})


def _params(environment: str, wanted: Wanted, event_type: str, actor: str, limit: int) -> dict[str, object]:
    return {
        "environment": environment,
        "since": wanted.since,
        "until": wanted.until,
        "function_id": wanted.function_id,
        "event_type": event_type,
        "actor": actor,
        "limit": limit,
    }
