"""Holding events to their schemas, in the transaction that appends them: what is registered holds from then on."""

import logging
import threading
from collections.abc import Sequence

from ironflow.features.schemas import store
from ironflow.features.schemas.compiled import Compiled, Compiler
from ironflow.features.schemas.contract import SchemaViolation
from ironflow.features.schemas.rules import Enforcement, Violation
from ironflow.features.schemas.store import Place
from ironflow.log.record import Record
from ironflow.storage.port import Tx

logger = logging.getLogger(__name__)

_LOOKED_AT = ("event", "entity")


class SchemaGuard:
    """Says which events are refused. With enforcement off it looks at nothing and costs nothing.

    counts: events by (event name, outcome): `rejected`, `warned`, or `unchecked` where the schema does not compile.
    """

    def __init__(self, enforcement: Enforcement) -> None:
        self._enforcement = enforcement
        self._compiler = Compiler()
        self._counting = threading.Lock()
        self.counts: dict[tuple[str, str], int] = {}

    def refusals(self, tx: Tx, records: Sequence[Record]) -> dict[str, SchemaViolation]:
        """Why each of these records may not be appended, by record id; records that may are left out.

        The transaction may be run again or fail, so what is counted and logged can be a little too much.
        """
        if self._enforcement == "off":
            return {}
        looked_at = [record for record in records if record.kind in _LOOKED_AT]
        if not looked_at:
            return {}
        digests = store.digests(tx, {_place(record) for record in looked_at})
        if not digests:
            return {}
        refused: dict[str, SchemaViolation] = {}
        for record in looked_at:
            digest = digests.get(_place(record))
            if digest is None:
                continue
            compiled = self._compiled(tx, _place(record), digest)
            if compiled is None:
                self._publish(record, "unchecked", [])
                continue
            violations = compiled.violations(record.data)
            if not violations:
                continue
            if self._enforcement == "warn":
                self._publish(record, "warned", violations)
            else:
                self._publish(record, "rejected", violations)
                refused[record.id] = refusal(record, violations)
        return refused

    def _compiled(self, tx: Tx, place: Place, digest: str) -> Compiled | None:
        try:
            return self._compiler.get(digest)
        except KeyError:
            row = store.schema(tx, place)
            return self._compiler.add(row.schema_json) if row is not None else None

    def _publish(self, record: Record, outcome: str, violations: list[Violation]) -> None:
        place = (record.name, outcome)
        with self._counting:
            self.counts[place] = self.counts.get(place, 0) + 1
        if outcome == "rejected":
            # The sender gets the refusal.
            return
        fields = {"event_name": record.name, "version": record.version, "environment": record.environment}
        if outcome == "warned":
            first = {"path": violations[0].path, "reason": violations[0].reason}
            logger.warning("event does not fit its schema", extra={**fields, **first})
        else:
            logger.warning("schema does not compile, event accepted unchecked", extra=fields)


def refusal(record: Record, violations: list[Violation]) -> SchemaViolation:
    """The refusal that the sender of the event gets."""
    reasons = "; ".join(f"{each.path or 'the data'}: {each.reason}" for each in violations)
    return SchemaViolation(
        f"The data of event {record.name!r} does not fit its schema, version {record.version}: {reasons}. "
        "Mend the data, or name the version that it is of.",
        details={"violations": [{"path": each.path, "reason": each.reason} for each in violations]},
    )


def _place(record: Record) -> Place:
    return (record.environment, record.name, record.version)
