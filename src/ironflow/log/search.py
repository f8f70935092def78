"""Looking through the log for records of some kind, by place and not by id: forward for those who catch up, backward
for those who want the last few.

A search looks at a bounded stretch of the log at a time, whether it finds anything there or not, so that no single
look takes long.
"""

from typing import NamedTuple

from ironflow.log.read import COLUMNS, HEAD
from ironflow.log.record import Kind, Record
from ironflow.storage.port import Params, Tx

# Positions that one look covers, where no index leads to the records.
STRETCH = 20_000

_WANTED = """environment = :environment AND kind = :kind
 AND (:namespace = '' OR namespace = :namespace)
 AND (:entity_type = '' OR entity_type = :entity_type) AND (:entity_id = '' OR entity_id = :entity_id)"""
# An exact name is found by the index on names; only as much of the log is looked at as there are records of the name.
_NAMED = f"{_WANTED} AND name = :name"
_PREFIXED = f"{_WANTED} AND substr(name, 1, :prefix_length) = :prefix"

_FORWARD = "WHERE position > :after AND position <= :until AND {where} ORDER BY position LIMIT :limit"
_BACKWARD = "WHERE position <= :after AND position > :until AND {where} ORDER BY position DESC LIMIT :limit"
_BY_NAME, _ALONG = f"SELECT {COLUMNS} FROM events ", f"SELECT {COLUMNS} FROM events {{by_position}} "
FORWARD_NAMED, FORWARD_PREFIXED = _BY_NAME + _FORWARD.format(where=_NAMED), _ALONG + _FORWARD.format(where=_PREFIXED)
BACKWARD_NAMED = _BY_NAME + _BACKWARD.format(where=_NAMED)
BACKWARD_PREFIXED = _ALONG + _BACKWARD.format(where=_PREFIXED)


class Wanted(NamedTuple):
    """Which records. namespace, entity_type, entity_id, name: empty for any; prefix: what the name begins with."""

    environment: str
    kind: Kind
    namespace: str = ""
    name: str = ""
    prefix: str = ""
    entity_type: str = ""
    entity_id: str = ""

    def params(self, after: int, until: int, limit: int) -> Params:
        given = self._asdict() | {"after": after, "until": until, "limit": limit}
        given["prefix_length"] = len(self.prefix)
        return given


class Found(NamedTuple):
    """Records in the order of the search, and the position up to which it looked, that one included."""

    records: list[Record]
    reached: int


def forward(tx: Tx, wanted: Wanted, after: int, limit: int, until: int | None = None) -> Found:
    """Up to `limit` records after `after`. until: the last position of interest, None for the end of the log."""
    row = tx.row(HEAD)
    last = min(row[0] if row else 0, until if until is not None else 2**62)
    if not wanted.name:
        last = min(last, after + STRETCH)
    sql = FORWARD_NAMED if wanted.name else FORWARD_PREFIXED
    records = [Record(*row) for row in tx.rows(sql, wanted.params(after, last, limit))]
    return Found(records, records[-1].position if len(records) == limit else max(last, after))


def backward(tx: Tx, wanted: Wanted, before: int, limit: int) -> Found:
    """Up to `limit` records before `before`, the latest first; `reached` is 0 when it came to the beginning."""
    first = 0 if wanted.name else max(0, before - 1 - STRETCH)
    sql = BACKWARD_NAMED if wanted.name else BACKWARD_PREFIXED
    records = [Record(*row) for row in tx.rows(sql, wanted.params(before - 1, first, limit))]
    return Found(records, records[-1].position - 1 if len(records) == limit else first)
