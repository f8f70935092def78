"""What is remembered for a minute: the system's events that nodes publish to each other."""

from collections.abc import Mapping

import msgspec

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis
from ironflow.storage.port import Tx

INSERT = """INSERT INTO system_notices (node, number, environment, parts, data, told_at)
VALUES (:node, :number, :environment, :parts, :data, :told_at)"""
AFTER = """SELECT number, environment, parts, data, told_at FROM system_notices
WHERE node = :node AND number > :number ORDER BY number LIMIT :limit"""
RECENT = "SELECT node, max(number) FROM system_notices GROUP BY node"
DELETE_OLD = """DELETE FROM system_notices WHERE (node, number) IN
(SELECT node, number FROM system_notices WHERE told_at < :oldest ORDER BY told_at LIMIT :limit)"""

DELETE_SUBSCRIBERS = "DELETE FROM topic_subscribers WHERE node = :node"
DELETE_OLD_SUBSCRIBERS = "DELETE FROM topic_subscribers WHERE seen_at < :oldest"
ADD_SUBSCRIBERS = """INSERT INTO topic_subscribers (node, environment, pattern, subscribers, seen_at)
VALUES (:node, :environment, :pattern, :subscribers, :seen_at)"""
SUBSCRIBERS = """SELECT pattern, subscribers FROM topic_subscribers
WHERE environment = :environment AND node <> :node AND seen_at >= :oldest ORDER BY node, pattern LIMIT 10000"""

# (environment, pattern)
TopicPlace = tuple[str, str]

_parts = msgspec.json.Decoder(tuple[str, ...]).decode


def add(tx: Tx, node: str, first: int, notices: list[Notice]) -> None:
    """Adds notices of `node`, numbered from `first`."""
    rows = [
        {
            "node": node,
            "number": number,
            "environment": notice.environment,
            "parts": write_json_text(notice.parts),
            "data": notice.data,
            "told_at": notice.at,
        }
        for number, notice in enumerate(notices, start=first)
    ]
    tx.many(INSERT, rows)


def after(tx: Tx, node: str, number: int, limit: int) -> list[tuple[int, Notice]]:
    """Up to `limit` notices of `node` after `number`, in order, each with its number."""
    rows = tx.rows(AFTER, {"node": node, "number": number, "limit": limit})
    return [(row[0], Notice(row[1], _parts(row[2]), row[3], row[4])) for row in rows]


def nodes(tx: Tx) -> dict[str, int]:
    """Nodes that published something lately, each with the number of its last notice."""
    return {row[0]: row[1] for row in tx.rows(RECENT)}


def delete_old(tx: Tx, oldest: Millis, limit: int) -> int:
    return tx.run(DELETE_OLD, {"oldest": oldest, "limit": limit})


def replace_topic_subscribers(tx: Tx, node: str, present: Mapping[TopicPlace, int], now: Millis) -> None:
    """The numbers of subscriptions that the node has, by environment and pattern, instead of those before."""
    tx.run(DELETE_SUBSCRIBERS, {"node": node})
    rows = [
        {"node": node, "environment": environment, "pattern": pattern, "subscribers": count, "seen_at": now}
        for (environment, pattern), count in present.items()
    ]
    tx.many(ADD_SUBSCRIBERS, rows)


def delete_old_topic_subscribers(tx: Tx, oldest: Millis) -> None:
    tx.run(DELETE_OLD_SUBSCRIBERS, {"oldest": oldest})


def topic_subscribers(tx: Tx, environment: str, but_of: str, oldest: Millis) -> list[tuple[str, int]]:
    """Patterns of other nodes' subscriptions to topics, seen since `oldest`, with their numbers. but_of: this node."""
    rows = tx.rows(SUBSCRIBERS, {"environment": environment, "node": but_of, "oldest": oldest})
    return [(row[0], row[1]) for row in rows]
