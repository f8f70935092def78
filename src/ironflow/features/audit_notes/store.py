"""What is remembered of audit notes, of the head of their chain, and of refusals that are still counted."""

from collections.abc import Mapping

from ironflow.base.time import Millis
from ironflow.features.audit_notes.rules import Head, Note, Refusal
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(Note._fields)
_HEAD = ", ".join(Head._fields)
_REFUSAL = ", ".join(Refusal._fields)
ADD = f"""INSERT INTO audit_notes ({_COLUMNS})
VALUES (:id, :environment, :at, :function_id, :event_type, :actor, :payload, :position, :hash)"""
HEAD = f"SELECT {_HEAD} FROM audit_heads WHERE name = 'audit'"
HEAD_TO_WRITE = HEAD + " {for_update}"
SAVE_HEAD = """UPDATE audit_heads SET position = :position, hash = :hash, anchor_position = :anchor_position,
anchor_hash = :anchor_hash, anchor_signature = :anchor_signature WHERE name = 'audit'"""
AFTER = f"SELECT {_COLUMNS} FROM audit_notes WHERE position > :position ORDER BY position LIMIT :limit"
BEFORE_THE_CHAIN = "DELETE FROM audit_notes WHERE position = 0 AND at < :oldest"
DELETE_UP_TO = "DELETE FROM audit_notes WHERE position > 0 AND position <= :position"
_WANTED = """environment IN {each:environments} AND at >= :since AND at < :until
 AND (:function_id = '' OR function_id = :function_id) AND (:event_type = '' OR event_type = :event_type)
 AND (:actor = '' OR actor = :actor) AND (:with_controls = 1 OR substr(event_type, 1, 12) <> 'run_control.')"""
NEWEST = f"""SELECT {_COLUMNS} FROM audit_notes WHERE {_WANTED} AND (at, id) <= (:at, :id)
ORDER BY at DESC, id DESC LIMIT :limit"""
COUNT = f"SELECT count(*) FROM (SELECT 1 FROM audit_notes WHERE {_WANTED} LIMIT :limit) n"
COUNT_REFUSAL = f"""INSERT INTO audit_refusals ({_REFUSAL}, refusals)
VALUES (:minute, :environment, :actor, :action, :code, :address, :refusals)
ON CONFLICT ({_REFUSAL}) DO UPDATE SET refusals = audit_refusals.refusals + excluded.refusals"""
CLOSED = f"SELECT {_REFUSAL}, refusals FROM audit_refusals WHERE minute <= :minute ORDER BY {_REFUSAL} LIMIT :limit"
FORGET_REFUSAL = f"DELETE FROM audit_refusals WHERE {' AND '.join(f'{name} = :{name}' for name in Refusal._fields)}"


def head(tx: Tx, *, to_write: bool = False) -> Head:
    """to_write: until the commit, no other transaction adds notes."""
    row = tx.row(HEAD_TO_WRITE if to_write else HEAD)
    return Head(*row) if row else Head(0, "", 0, "", "")


def save_head(tx: Tx, head: Head) -> None:
    tx.run(SAVE_HEAD, head._asdict())


def add(tx: Tx, note: Note) -> None:
    tx.run(ADD, note._asdict())


def after(tx: Tx, position: int, limit: int) -> list[Note]:
    """Notes of the chain, in its order."""
    return [Note(*row) for row in tx.rows(AFTER, {"position": position, "limit": limit})]


def newest(tx: Tx, filters: Mapping[str, object], at: Millis, note_id: str, limit: int) -> list[Note]:
    """Up to `limit` notes, newest first, from (at, note_id) on. filters: those of `audit.list`."""
    return [Note(*row) for row in tx.rows(NEWEST, {**filters, "at": at, "id": note_id, "limit": limit})]


def count(tx: Tx, filters: Mapping[str, object], limit: int) -> int:
    """How many notes are wanted, at most `limit`."""
    row = tx.row(COUNT, {**filters, "limit": limit})
    return row[0] if row else 0


def delete_up_to(tx: Tx, position: int) -> None:
    tx.run(DELETE_UP_TO, {"position": position})


def delete_before_the_chain(tx: Tx, oldest: Millis) -> int:
    """Removes notes that were made before there was a chain, and before `oldest`; how many."""
    return tx.run(BEFORE_THE_CHAIN, {"oldest": oldest})


def count_refusals(tx: Tx, counts: Mapping[Refusal, int]) -> None:
    tx.many(COUNT_REFUSAL, [{**each._asdict(), "refusals": number} for each, number in counts.items()])


def closed_refusals(tx: Tx, minute: Millis, limit: int) -> list[tuple[Refusal, int]]:
    """Counts of minutes that began at `minute` or before."""
    return [(Refusal(*row[:-1]), row[-1]) for row in tx.rows(CLOSED, {"minute": minute, "limit": limit})]


def forget_refusal(tx: Tx, refusal: Refusal) -> None:
    tx.run(FORGET_REFUSAL, refusal._asdict())
