"""What other features do with entities inside their own transactions."""

from collections.abc import Iterable

from ironflow.base.entity_streams import is_state_event, parts_of
from ironflow.base.json import Json
from ironflow.engine.model import Run
from ironflow.features.entities import rules, store
from ironflow.features.entities.contract import JobEntity
from ironflow.features.entities.rules import invoke_refusal
from ironflow.features.entities.store import begin_again, delete
from ironflow.features.entities.writing import StateWriter
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.log.record import Record
from ironflow.storage.port import Tx

__all__ = ["StateWriter", "begin_again", "delete", "invoke_refusal", "is_reserved", "of_jobs", "redacted"]


def of_jobs(tx: Tx, runs: Iterable[Run]) -> dict[str, JobEntity]:
    """The entities of runs that were just claimed, by run id, each with the state that the execution begins with."""
    by_environment: dict[str, list[Run]] = {}
    for run in runs:
        if run.entity is not None:
            by_environment.setdefault(run.environment, []).append(run)
    found: dict[str, JobEntity] = {}
    for environment, group in by_environment.items():
        rows = store.states(tx, environment, [run.entity or "" for run in group])
        for run in group:
            found[run.id] = _job_entity(run, rows.get(run.entity or ""))
    return found


def is_reserved(tx: Tx, index: FunctionIndex, environment: str, entity_id: str, name: str) -> bool:
    """Whether only handlers append events of that name to the stream: it is that of an entity, and carries states."""
    if not is_state_event(entity_id, name):
        return False
    index.refresh(tx)
    return index.has_entity(environment, parts_of(entity_id)[0]) or store.is_kept(tx, environment, entity_id)


def redacted(tx: Tx, event: Record) -> None:
    """The state that the event has brought is replaced as the event's payload was. event: as it is now."""
    if event.kind == "entity" and event.entity_id and is_state_event(event.entity_id, event.name):
        store.redact(tx, event.environment, event.entity_id, event.entity_version or 0, event.data)


def _job_entity(run: Run, row: rules.StateRow | None) -> JobEntity:
    entity, key = parts_of(run.entity or "")
    state = rules.state_for(row, run)
    return JobEntity(
        entity=entity,
        key=key,
        state=None if state is None else Json(state.encode()),
        is_new=state is None,
        read_only=run.slot_key is None,
        number=row.number if row is not None and row.run_id == run.id else 0,
    )
