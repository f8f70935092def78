"""What is remembered of messages. The run is locked while its messages are numbered or taken.

A run that restarts moves none: the inbox is that of its chain.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ironflow.base.json import write_json_text
from ironflow.base.time import Millis
from ironflow.engine.model import Run
from ironflow.features.messages.rules import Row, State
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(Row._fields)
ADD = f"INSERT INTO messages ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in Row._fields)})"
# One look-up in the index for each inbox, however many messages it has.
LAST = """SELECT wanted.value,
 (SELECT m.number FROM messages m WHERE m.inbox = wanted.value ORDER BY m.number DESC LIMIT 1)
FROM {each:inboxes} AS wanted"""
# `number > 0` selects the partial index of unread messages: in the index of all, every taken message comes first.
_UNREAD = "inbox = :inbox AND taken_at IS NULL AND number > 0"
OLDEST_UNREAD = f"SELECT number FROM messages WHERE {_UNREAD} ORDER BY number LIMIT 1"
NEXT = f"""SELECT {_COLUMNS} FROM messages
WHERE inbox = :inbox AND name = :name AND taken_at IS NULL ORDER BY number LIMIT 1"""
# A look-up in the index for each inbox.
NEXT_OF_MANY = f"""SELECT {", ".join(f"m.{name}" for name in Row._fields)} FROM {{each:inboxes}} AS wanted
JOIN messages m ON m.id = (SELECT n.id FROM messages n
 WHERE n.inbox = wanted.value AND n.name = :name AND n.taken_at IS NULL ORDER BY n.number LIMIT 1)"""
TAKE = """UPDATE messages SET run_id = :run_id, taken_by = :step_id, taken_at = :now
WHERE id = :id AND taken_at IS NULL"""
ONE = f"SELECT {_COLUMNS} FROM messages WHERE id = :id"
KNOWN = f"""SELECT {_COLUMNS} FROM messages
WHERE environment = :environment AND (scope, idempotency_key) IN {{pairs:keys}}"""
ANSWER = """UPDATE messages SET state = :state, answer = :answer, answered_at = :now
WHERE id = :id AND run_id = :run_id AND asked = 1 AND state = ''"""
LIST = f"""SELECT {_COLUMNS} FROM messages
WHERE inbox = :inbox AND number > :after ORDER BY number LIMIT :limit"""
LIST_UNREAD = f"""SELECT {_COLUMNS} FROM messages
WHERE {_UNREAD} AND number > :after ORDER BY number LIMIT :limit"""
PAYLOADS = """SELECT id, data, answer FROM messages
WHERE inbox = :inbox AND (:step_id = '' OR taken_by = :step_id)
 AND ((run_id = :run_id AND taken_at IS NOT NULL) OR (:is_last = 1 AND taken_at IS NULL))"""
REPLACE = "UPDATE messages SET data = :data, answer = :answer WHERE id = :id"
WAITING = """SELECT step_id FROM waits WHERE run_id = :run_id AND kind = 'wait' AND event = :event
ORDER BY step_id LIMIT :limit"""
DROP = "DELETE FROM messages WHERE inbox IN {each:inboxes}"
# The last link that is kept decides for its chain.
_ENDED_AT = """COALESCE(
 (SELECT COALESCE(l.ended_at, :oldest) FROM runs l WHERE l.first_run_id = m.inbox ORDER BY l.link DESC LIMIT 1),
 (SELECT COALESCE(r.ended_at, :oldest) FROM runs r WHERE r.id = m.inbox), 0)"""
PURGE = f"""DELETE FROM messages WHERE id IN (
 SELECT m.id FROM messages m WHERE m.created_at < :oldest
 AND (m.taken_at < :oldest OR {_ENDED_AT} < :oldest) ORDER BY m.created_at LIMIT :limit)"""


class Place(NamedTuple):
    """Where an idempotency key of a message is unique."""

    environment: str
    scope: str
    key: str


def add(tx: Tx, messages: Sequence[Row]) -> None:
    # Rows have the columns' order.
    tx.many(ADD, messages)


def last_numbers(tx: Tx, inboxes: list[str]) -> dict[str, int]:
    """The number of the last message of each inbox, 0 for none."""
    return {inbox: int(number or 0) for inbox, number in tx.rows(LAST, {"inboxes": inboxes})}


def oldest_unread(tx: Tx, inbox: str) -> int | None:
    row = tx.row(OLDEST_UNREAD, {"inbox": inbox})
    return None if row is None else row[0]


def take(tx: Tx, run: Run, name: str, step_id: str, now: Millis) -> Row | None:
    """The next unread message of that name, which is the step's of this run from now on."""
    message = next_unread(tx, run, name)
    if message is not None:
        mark_taken(tx, [(message, run.id, step_id, now)])
    return message


def next_unread(tx: Tx, run: Run, name: str) -> Row | None:
    """The next unread message of that name in the run's inbox."""
    row = tx.row(NEXT, {"inbox": run.chain_id, "name": name})
    return None if row is None else Row(*row)


def next_unread_of(tx: Tx, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Row]:
    """The next unread message of each inbox and name that is given, where there is one; by these."""
    by_name: dict[str, list[str]] = {}
    for inbox, name in wanted:
        by_name.setdefault(name, []).append(inbox)
    found: dict[tuple[str, str], Row] = {}
    for name, inboxes in by_name.items():
        for row in tx.rows(NEXT_OF_MANY, {"inboxes": inboxes, "name": name}):
            message = Row(*row)
            found[message.inbox, name] = message
    return found


def mark_taken(tx: Tx, taken: Sequence[tuple[Row, str, str, Millis]]) -> None:
    """Records that steps have taken messages. taken: each with the run, its step, and the time."""
    # In the order in which the statement names them.
    tx.many(TAKE, [(run_id, step_id, now, each.id) for each, run_id, step_id, now in taken])


def one(tx: Tx, message_id: str) -> Row | None:
    row = tx.row(ONE, {"id": message_id})
    return None if row is None else Row(*row)


def known(tx: Tx, places: Sequence[Place]) -> dict[Place, Row]:
    """The messages that were sent with these idempotency keys."""
    found: dict[Place, Row] = {}
    for environment in dict.fromkeys(place.environment for place in places):
        pairs = list(dict.fromkeys((each.scope, each.key) for each in places if each.environment == environment))
        rows = tx.rows(KNOWN, {"environment": environment, "keys": write_json_text(pairs)})
        messages = [Row(*row) for row in rows]
        found |= {Place(environment, each.scope, each.idempotency_key or ""): each for each in messages}
    return found


def answer(tx: Tx, run_id: str, message_id: str, state: State, text: str, now: Millis) -> bool:
    """False when it is answered already, or was not asked."""
    params = {"id": message_id, "run_id": run_id, "state": state, "answer": text, "now": now}
    if tx.run(ANSWER, params) != 1:
        return False
    tx.notify("message_answered", message_id)
    return True


def of_inbox(tx: Tx, inbox: str, after: int, limit: int, *, unread: bool) -> list[Row]:
    params = {"inbox": inbox, "after": after, "limit": limit}
    return [Row(*row) for row in tx.rows(LIST_UNREAD if unread else LIST, params)]


def replace_payloads(tx: Tx, run: Run, step_id: str, swap: Callable[[str | None], str | None]) -> int:
    """Replaces data and answers of the messages that a step took, or of all of the run where `step_id` is empty.

    Those are the ones that it took, and of the last link of a chain those that none took. Returns how many messages
    changed.
    """
    is_last = int(run.restarted_as is None)
    found = tx.rows(PAYLOADS, {"inbox": run.chain_id, "run_id": run.id, "step_id": step_id, "is_last": is_last})
    after = [(row[0], swap(row[1]), swap(row[2])) for row in found]
    changed = [each for row, each in zip(found, after, strict=True) if each != tuple(row)]
    tx.many(REPLACE, [{"id": id_, "data": data, "answer": answer} for id_, data, answer in changed])
    return len(changed)


def waiting_steps(tx: Tx, run_id: str, event: str, limit: int) -> list[str]:
    """The steps of the run that wait for it."""
    return [row[0] for row in tx.rows(WAITING, {"run_id": run_id, "event": event, "limit": limit})]


def drop(tx: Tx, inboxes: list[str]) -> None:
    """Deletes all messages of these chains."""
    if inboxes:
        tx.run(DROP, {"inboxes": inboxes})


def purge(tx: Tx, oldest: Millis, limit: int) -> int:
    """Deletes messages that were taken, or whose runs ended, before `oldest`."""
    return tx.run(PURGE, {"oldest": oldest, "limit": limit})
