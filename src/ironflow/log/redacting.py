"""Replacing what a record says. Its id, name, times and position stay: the order of events is not touched."""

from ironflow.log.record import Record
from ironflow.storage.port import Tx

SET = "UPDATE events SET data = :data, metadata = :metadata WHERE id = :id"


def set_payloads(tx: Tx, record: Record) -> None:
    tx.run(SET, {"id": record.id, "data": record.data, "metadata": record.metadata})
