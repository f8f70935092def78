"""Why a run is not running, from what the database holds. The words are for people, the fields for programs."""

from ironflow.base.time import Millis, to_datetime
from ironflow.engine.model import Run, Step
from ironflow.features.controls.contract import Why
from ironflow.features.jobs.in_tx import is_served
from ironflow.features.runs import slots
from ironflow.features.runs.ledger import Ledger
from ironflow.storage.port import Tx

HOLDERS_MAX = 20


def explain(tx: Tx, ledger: Ledger, run: Run, oldest: Millis) -> Why:
    """oldest: workers last heard of before it do not count as alive."""
    match run.status:
        case "completed" | "failed" | "cancelled":
            return _why(run, "ended", f"It has ended: {run.status}.")
        case "running":
            return _running(run)
        case "paused":
            return _paused(run)
        case "waiting":
            return _waiting(run)
        case "pending":
            return _pending(tx, ledger, run, oldest)


def _running(run: Run) -> Why:
    lease = run.lease
    worker = lease.worker_id if lease is not None else ""
    until = lease.expires_at if lease is not None else None
    word = "It runs" if lease is not None and lease.state == "held" else "It was handed to a worker and is about to run"
    return _why(run, "running", f"{word} on worker {worker}.", until=until, worker_id=worker)


def _paused(run: Run) -> Why:
    if run.reason == "exhausted":
        return _why(run, "exhausted", f"All {run.policy.max_attempts} attempts failed and it is held. Resume it.")
    if run.reason == "diverged":
        return _why(run, "diverged", "Its handler no longer fits its recorded steps; the run's error shows both.")
    step = run.steps.get(run.open_step) if run.open_step is not None else None
    if step is not None and step.status == "timed_out":
        message = f"It was paused by hand, and its wait {step.name!r} timed out meanwhile: it fails when it is resumed"
        return _why(run, "paused", f"{message}, unless you inject the event into that step before.", step=step)
    return _why(run, "paused", "It was paused by hand. Resume it to let it go on.")


def _waiting(run: Run) -> Why:
    step = run.steps.get(run.open_step) if run.open_step is not None else None
    name = step.name if step is not None else ""
    at = _text(run.next_at) if run.next_at is not None else "something happens"
    match run.reason:
        case "sleep":
            return _why(run, "sleep", f"It sleeps in step {name!r} until {at}.", until=run.next_at, step=step)
        case "wait_event":
            event = step.wait_event if step is not None else None
            message = f"It waits in step {name!r} for event {event!r}, at most until {at}."
            return _why(run, "wait_event", message, until=run.next_at, step=step)
        case "invoke":
            child = step.child_run_id if step is not None else None
            message = f"It waits in step {name!r} for run {child}, at most until {at}."
            return _why(run, "invoke", message, until=run.next_at, step=step)
        case "throttle":
            return _why(
                run, "throttle", f"Its function starts so many runs a period; it may start at {at}.", run.next_at
            )
        case _:
            message = f"Attempt {run.attempt} of {run.policy.max_attempts} failed; the next one starts at {at}."
            return _why(run, "retry", message, until=run.next_at)


def _pending(tx: Tx, ledger: Ledger, run: Run, oldest: Millis) -> Why:
    if run.lease is not None and run.lease.state == "queued":
        return _queued(run, ledger.missing_slots(tx, run, HOLDERS_MAX))
    if not is_served(tx, run.environment, run.function_id, oldest):
        return _why(run, "no_worker", f"No live worker serves function {run.function_id!r}. Start one.")
    return _why(
        run, "no_free_worker", f"All workers that serve function {run.function_id!r} are busy, or about to ask."
    )


def _queued(run: Run, missing: list[tuple[str, list[str]]]) -> Why:
    """missing: the keys of the slots that it waits for, with the runs that hold them."""
    if not missing:
        return _why(run, "no_slot", "Its slots have just become free; it is about to get them.", held_by=[])
    waits_for: list[str] = []
    sentences: list[str] = []
    for slot_key, held_by in missing:
        key, runs = slot_key.partition(":")[2], ", ".join(held_by)
        if slot_key.startswith(slots.ACTOR_PREFIX):
            waits_for.append("actor")
            sentences.append(f"Runs of actor {key!r} go one after another; it is the turn of {runs}.")
        else:
            waits_for.append("limit")
            what = f"the limit of key {key!r}" if key else "its limit"
            sentences.append(f"Its function is at {what}; the slots are held by {runs}.")
    held = list(dict.fromkeys(run_id for _, held_by in missing for run_id in held_by))
    return _why(run, "no_slot", " ".join(sentences), held_by=held, waits_for=waits_for)


def _text(at: Millis) -> str:
    """A time in a sentence: `2026-01-31T12:00:00Z`, with milliseconds where there are any."""
    return to_datetime(at).isoformat(timespec="milliseconds" if at % 1000 else "seconds").replace("+00:00", "Z")


def _why(
    run: Run,
    reason: str,
    message: str,
    until: Millis | None = None,
    step: Step | None = None,
    worker_id: str | None = None,
    held_by: list[str] | None = None,
    waits_for: list[str] | None = None,
) -> Why:
    return Why(
        run_id=run.id,
        state=run.status,
        reason=reason,
        message=message,
        until=to_datetime(until) if until is not None else None,
        event=step.wait_event if step is not None else None,
        step_id=step.step_id if step is not None else None,
        child_run_id=step.child_run_id if step is not None else None,
        worker_id=worker_id,
        held_by=held_by,
        waits_for=waits_for,
    )
