"""What is remembered for a minute: the system's events that nodes tell each other."""

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
    """Nodes that told something lately, each with the number of its last notice."""
    return {row[0]: row[1] for row in tx.rows(RECENT)}


def delete_old(tx: Tx, oldest: Millis, limit: int) -> int:
    return tx.run(DELETE_OLD, {"oldest": oldest, "limit": limit})
