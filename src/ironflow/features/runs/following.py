"""What reaches a run from outside, as the engine's command: the end of a child, a timer, an event; pure."""

from typing import assert_never

from ironflow.base.json import read_json, write_json_text
from ironflow.base.time import to_datetime
from ironflow.engine import commands
from ironflow.engine.model import ErrorValue, Run, read_error
from ironflow.features.timers.in_tx import Timer
from ironflow.log.record import Record


def child_ended(child: Run, step_id: str) -> commands.ChildEnded:
    """What the step of the parent gets that waits for this child."""
    return commands.ChildEnded(
        step_id=step_id,
        child_run_id=child.chain_id,
        function_id=child.function_id,
        output=child.output,
        error=None if child.status == "completed" else _cause(child),
        failure=_failure(child),
    )


def _cause(child: Run) -> str:
    """Why a child did not complete: its cancellation cause or its error's message."""
    if child.status == "cancelled":
        return f"cancelled: {child.cancellation_cause}"
    error = read_json(child.error) if child.error else None
    return str(error.get("message", "")) if isinstance(error, dict) else "failed"


def _failure(child: Run) -> ErrorValue:
    """The error with which a child failed; one without a code when it did not, or was recorded in another shape."""
    return read_error(child.error) if child.status == "failed" and child.error else ErrorValue(message="")


def due_command(run: Run, timer: Timer) -> commands.Command:
    """What a timer that is due means for its run."""
    match timer.kind:
        case "sleep":
            return commands.SleepDue(step_id=timer.step_id)
        case "rest":
            return commands.RestDue(step_id=timer.step_id)
        case "wait":
            return commands.WaitTimedOut(step_id=timer.step_id)
        case "invoke":
            step = run.steps.get(timer.step_id)
            return commands.InvokeTimedOut(step_id=timer.step_id, function_id=step.name if step else "")
        case "start":
            return commands.StartDue()
        case "wake":
            return commands.WakeDue()
        case "retry":
            return commands.RetryDue()
        case _:
            assert_never(timer.kind)


def event_text(record: Record) -> str:
    """An event as a waiting step returns it. Source: protocol/step-semantics.md 5, "Result"."""
    about = {
        "id": record.id,
        "name": record.name,
        "version": record.version,
        "timestamp": to_datetime(record.created_at),
        "source": record.source or None,
        "idempotencyKey": record.idempotency_key,
        "emittedBy": record.emitted_by,
        "entityId": record.entity_id,
        "entityType": record.entity_type,
        "entityVersion": record.entity_version,
    }
    text = write_json_text({name: value for name, value in about.items() if value is not None})
    metadata = f',"metadata":{record.metadata}' if record.metadata else ""
    # The data goes in as it was sent, byte for byte.
    return f'{text[:-1]},"data":{record.data}{metadata}}}'
