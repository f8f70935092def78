"""What is remembered of topics: one row for each, kept with every message, so that nothing is ever counted."""

from collections.abc import Sequence
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.log.record import Record
from ironflow.storage.port import Tx

_COLUMNS = "name, messages, first_position, last_position, first_at, last_at"
# Positions of one commit are in its order; another commit's are smaller or greater as a whole.
COUNT_IN = f"""INSERT INTO topics (environment, {_COLUMNS})
VALUES (:environment, :name, :messages, :first_position, :last_position, :first_at, :last_at)
ON CONFLICT (environment, name) DO UPDATE SET messages = topics.messages + excluded.messages,
 last_position = excluded.last_position, last_at = excluded.last_at"""
TOPIC = f"SELECT {_COLUMNS} FROM topics WHERE environment = :environment AND name = :name"
TOPICS_AFTER = f"""SELECT {_COLUMNS} FROM topics WHERE environment = :environment AND name > :cursor
ORDER BY name LIMIT :limit"""


class Topic(NamedTuple):
    """A topic as it is stored."""

    name: str
    messages: int = 0
    first_position: int = 0
    last_position: int = 0
    first_at: Millis = 0
    last_at: Millis = 0


def count_in(tx: Tx, messages: Sequence[Record]) -> None:
    """Counts messages that were just appended, in order of the log. The log's head is locked by this transaction."""
    by_topic: dict[tuple[str, str], list[Record]] = {}
    for message in messages:
        by_topic.setdefault((message.environment, message.name), []).append(message)
    tx.many(
        COUNT_IN,
        [
            {
                "environment": environment,
                "name": name,
                "messages": len(found),
                "first_position": found[0].position,
                "last_position": found[-1].position,
                "first_at": found[0].created_at,
                "last_at": found[-1].created_at,
            }
            for (environment, name), found in by_topic.items()
        ],
    )


def topic(tx: Tx, environment: str, name: str) -> Topic | None:
    row = tx.row(TOPIC, {"environment": environment, "name": name})
    return Topic(*row) if row else None


def topics_after(tx: Tx, environment: str, cursor: str, limit: int) -> list[Topic]:
    params = {"environment": environment, "cursor": cursor, "limit": limit}
    return [Topic(*row) for row in tx.rows(TOPICS_AFTER, params)]
