"""Metadata of the event that started a run goes on to what the run emits, appends, publishes and starts.

The one place where this is decided: a key that is set elsewhere for each run, such as a trace, belongs here too.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ironflow.log.record import Record
from ironflow.storage.port import Tx

Metadata = Mapping[str, msgspec.Raw]

OF_RUNS = """SELECT r.id, r.environment, e.metadata FROM runs r JOIN events e ON e.id = r.event_id
WHERE r.id IN {each:run_ids} AND e.metadata IS NOT NULL"""
_read = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def inherited_metadata(own: str | None, of_event: str, keys: Sequence[str]) -> str | None:
    """The metadata of what a run makes, as JSON text. own: as it was given, whose keys count before those inherited.

    of_event: the metadata of the event that started the run.
    """
    given: Metadata = _read(own) if own else {}
    source: Metadata = _read(of_event)
    added = {key: source[key] for key in keys if key in source and key not in given}
    return msgspec.json.encode({**given, **added}).decode() if added else own


class Inheritance:
    """keys: the keys of metadata that go on; without any, nothing is read."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(dict.fromkeys(keys))

    def applied(self, tx: Tx, records: Sequence[Record]) -> list[Record]:
        """The records of runs with what their metadata inherits; the others unchanged."""
        run_ids = list({each.run_id for each in records if each.run_id}) if self.keys else []
        if not run_ids:
            return list(records)
        # A run of another environment, which a caller may name, gives nothing.
        found = {(row[0], row[1]): row[2] for row in tx.rows(OF_RUNS, {"run_ids": run_ids})}
        return [self._applied(each, found.get((each.run_id or "", each.environment))) for each in records]

    def _applied(self, record: Record, of_event: str | None) -> Record:
        if of_event is None:
            return record
        metadata = inherited_metadata(record.metadata, of_event, self.keys)
        return record if metadata is record.metadata else replace(record, metadata=metadata)
