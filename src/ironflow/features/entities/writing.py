"""The states of one commit: each is an event of its entity's stream, and the row that is the fold of it."""

from collections.abc import Sequence

from ironflow.base.entity_streams import parts_of, state_event
from ironflow.base.errors import Aborted, IronflowError
from ironflow.base.ids import Ids
from ironflow.base.time import Millis
from ironflow.engine.model import EntityState, Run
from ironflow.features.entities import rules, store
from ironflow.features.entities.rules import StateRow
from ironflow.features.events.in_tx import Emission, Emitter, check_not_deleted
from ironflow.features.schemas.in_tx import SchemaGuard
from ironflow.log import heads
from ironflow.log.heads import Stream
from ironflow.log.record import Record
from ironflow.storage.port import Tx

# The source of events that carry a state.
SOURCE = "entity"


class StateWriter:
    """Writes states in the commits of reports."""

    def __init__(self, emitter: Emitter, schemas: SchemaGuard, ids: Ids, bytes_max: int) -> None:
        self._emitter = emitter
        self._schemas = schemas
        self._ids = ids
        self._bytes_max = bytes_max

    def admitted(self, tx: Tx, run: Run, change: EntityState, now: Millis) -> EntityState | None:
        """The change when it is to be written; None for one that a replay has made before.

        The run is locked. Raises InvalidEntityState, EntityStateReadOnly, EntityStateTooLarge, StreamDeleted,
        EntityTypeConflict, SchemaViolation.
        """
        rules.check_change(run, change, self._bytes_max)
        entity_id = run.entity or ""
        head = heads.locked(tx, (run.environment, entity_id))
        if head is not None:
            check_not_deleted(head)
            rules.check_stream(head, parts_of(entity_id)[0])
        found = store.states(tx, run.environment, [entity_id])
        decided = rules.decide_change(found.get(entity_id), run, change)
        if decided is not None:
            for refusal in self._schemas.refusals(tx, [self._record(run, change, now)]).values():
                raise refusal
        return decided

    def write(self, tx: Tx, changes: Sequence[tuple[Run, EntityState]], now: Millis) -> None:
        """Appends the states to their streams, in order. The runs are written, and no slots are locked."""
        rows = _rows(tx, changes)
        emissions = [Emission(self._record(run, change, now), now) for run, change in changes]
        answers = self._emitter.apply(tx, emissions)
        for (run, change), answer in zip(changes, answers, strict=True):
            if isinstance(answer, IronflowError):
                # Nothing of the commit is kept: the stream has changed since it was looked at.
                raise Aborted(f"The state of entity {run.entity!r} was not appended: {answer.message}")
            stream = _stream(run)
            rows[stream] = rules.row_after(rows.get(stream), run, change, answer.entity_version or 0, now)
        store.save(tx, [(environment, row) for (environment, _), row in rows.items()])

    def _record(self, run: Run, change: EntityState, now: Millis) -> Record:
        entity_id = run.entity or ""
        entity, _ = parts_of(entity_id)
        return Record(
            id=self._ids.new("evt"),
            environment=run.environment,
            kind="entity",
            name=state_event(entity),
            data=change.value,
            source=SOURCE,
            run_id=run.id,
            emitted_by=run.function_id,
            entity_id=entity_id,
            entity_type=entity,
            created_at=now,
        )


def _stream(run: Run) -> Stream:
    return (run.environment, run.entity or "")


def _rows(tx: Tx, changes: Sequence[tuple[Run, EntityState]]) -> dict[Stream, StateRow]:
    """The states as they are, one statement for each environment."""
    wanted: dict[str, list[str]] = {}
    for run, _ in changes:
        environment, entity_id = _stream(run)
        wanted.setdefault(environment, []).append(entity_id)
    return {
        (environment, entity_id): row
        for environment, entity_ids in wanted.items()
        for entity_id, row in store.states(tx, environment, entity_ids).items()
    }
