"""What is decided about the states of entities; pure. Source: docs/guides/entities.md."""

from typing import NamedTuple

from ironflow.base.entity_streams import KEY_CHARS_MAX, is_key
from ironflow.base.time import Millis
from ironflow.engine.model import EntityState, Run
from ironflow.features.entities.contract import EntityStateReadOnly, EntityStateTooLarge, InvalidEntityState
from ironflow.features.events.contract import EntityTypeConflict
from ironflow.log.heads import Head


def invoke_refusal(function_id: str, entity_key: str, *, is_handler: bool) -> str:
    """Why a step cannot invoke the function for that key of an entity; empty where it can."""
    if not is_handler:
        return f"function {function_id!r} is no handler of an entity: it takes no entity_key"
    if not is_key(entity_key):
        return (
            f"{entity_key[:60]!r} is no key of an entity: write 1 to {KEY_CHARS_MAX} characters without spaces, `*` "
            "or `>`"
        )
    return ""


class StateRow(NamedTuple):
    """The state of one entity, as JSON text. version: of its stream, after the event that brought it.

    run_id, number: the run that set it, and which change of that run it is. base: the state that this run began with,
    and base_version its version; None and 0 where there was none.
    """

    entity_id: str
    state: str
    version: int
    run_id: str | None
    number: int
    base: str | None
    base_version: int
    updated_at: Millis


def state_for(row: StateRow | None, run: Run) -> str | None:
    """The state that an execution of the run begins with; None without any.

    A handler is replayed over the state that its run began with, so that it changes it the same way again. A reader
    sees the newest.
    """
    if row is None:
        return None
    return row.base if row.run_id == run.id and run.slot_key is not None else row.state


def decide_change(row: StateRow | None, run: Run, change: EntityState) -> EntityState | None:
    """The change, or None for one that a replay of the run has made before."""
    if row is None or row.run_id != run.id:
        return change
    # Code that was deployed meanwhile may make fewer changes: one past them comes with a higher number, whatever it is.
    return None if change.number < row.number or change.value == row.state else change


def row_after(row: StateRow | None, run: Run, change: EntityState, version: int, now: Millis) -> StateRow:
    """The row after the change. version: of the stream, with the event that carries it."""
    base, base_version = (row.state, row.version) if row is not None else (None, 0)
    if row is not None and row.run_id == run.id:
        base, base_version = row.base, row.base_version
    return StateRow(
        entity_id=run.entity or "",
        state=change.value,
        version=version,
        run_id=run.id,
        number=change.number,
        base=base,
        base_version=base_version,
        updated_at=now,
    )


def check_stream(head: Head, entity: str) -> None:
    """Raises EntityTypeConflict for a stream that was begun as that of another type."""
    if head.entity_type != entity:
        raise EntityTypeConflict(
            f"Stream {head.entity_id!r} has the type {head.entity_type!r}, so it cannot keep states of {entity!r}."
            " Take another key, or give the entity another name."
        )


def check_change(run: Run, change: EntityState, bytes_max: int) -> None:
    """Raises InvalidEntityState, EntityStateReadOnly, EntityStateTooLarge."""
    if run.entity is None:
        raise InvalidEntityState(f"Function {run.function_id!r} is no handler of an entity: it has no state to change.")
    if run.slot_key is None:
        raise EntityStateReadOnly(
            f"Function {run.function_id!r} reads entity {run.entity!r} beside its handlers and may not change its "
            "state. Make it a handler that is not a reader."
        )
    size = len(change.value.encode())
    if size > bytes_max:
        raise EntityStateTooLarge(
            f"The state of entity {run.entity!r} is {size} bytes; this server accepts {bytes_max}. Keep less in it, or "
            "raise entity_state_bytes_max."
        )
