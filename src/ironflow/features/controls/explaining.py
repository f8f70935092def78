"""Why a run is not running, from what the database holds. The message is for people, the fields are for programs."""

from typing import NamedTuple, assert_never

import msgspec
from msgspec.structs import replace

from ironflow.base.entity_streams import entity_of_scope
from ironflow.base.message_waits import message_name
from ironflow.base.time import Millis, to_datetime
from ironflow.engine.model import Run, Step, read_error, read_not_begun
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.controls.contract import Why
from ironflow.features.endpoints import in_tx as endpoints
from ironflow.features.functions import in_tx as functions
from ironflow.features.jobs.in_tx import actor_worker, missing_labels, serving
from ironflow.features.runs.in_tx import RunRepository, advice, look_last
from ironflow.features.slots import in_tx as slots
from ironflow.storage.port import Tx

HOLDERS_MAX = 20


class Oldest(NamedTuple):
    """A worker that was last seen before `alive` is not alive; one that was before `actors` has no actors any more.

    actor_ms: how long a silent worker keeps them.
    """

    alive: Millis
    actors: Millis
    actor_ms: int
    now: Millis


def explain(tx: Tx, repository: RunRepository, run: Run, oldest: Oldest) -> Why:
    why = _explain(tx, repository, run, oldest)
    if run.cancelling is None or run.ended:
        return why
    asked = f"since {_text(run.cancel_requested_at)}" if run.cancel_requested_at is not None else "now"
    what = "its worker ends its execution first" if run.winding_down else "its compensations run first"
    begun = f"It is being cancelled {asked} ({run.cancelling}), and {what}."
    more = "To end it at once, cancel it again."
    reason = "cancelling" if why.reason == "running" else why.reason
    return replace(why, message=f"{begun} {why.message} {more}", reason=reason)


def _explain(tx: Tx, repository: RunRepository, run: Run, oldest: Oldest) -> Why:
    match run.status:
        case "completed" if run.restarted_as is not None:
            return _restarted(tx, run)
        case "completed" | "failed" | "cancelled":
            return _why(run, "ended", f"It has ended: {run.status}.")
        case "running":
            return _running(run)
        case "paused":
            return _paused(run)
        case "waiting":
            return _waiting(run)
        case "pending":
            return _pending(tx, repository, run, oldest)
        case _:
            assert_never(run.status)


def _restarted(tx: Tx, run: Run) -> Why:
    last = look_last(tx, run)
    state = f"ended: {last.status}" if last.ended else f"goes on: {last.status}"
    return _why(run, "restarted", f"It restarted as run {run.restarted_as}. Run {last.id}, the last of them, {state}.")


def _running(run: Run) -> Why:
    lease = run.lease
    worker = lease.worker_id if lease is not None else ""
    until = lease.expires_at if lease is not None else None
    held = lease is not None and lease.state == "held"
    state = "It runs" if held else "It was handed to a worker and is about to run"
    return _why(run, "running", f"{state} on worker {worker}.", until=until, worker_id=worker)


def _paused(run: Run) -> Why:
    if run.reason == "exhausted":
        attempts = run.policy.max_attempts
        failed = f"All {attempts} attempts failed" if attempts > 1 else "Its only attempt failed"
        return _why(run, "exhausted", f"{failed}, and it is paused. Resume it.")
    if run.reason == "diverged":
        return _why(run, "diverged", "Its handler no longer fits its recorded steps; the run's error shows both.")
    step = run.steps.get(run.open_step) if run.open_step is not None else None
    by = f"by {run.paused_by}" if run.paused_by is not None else "by hand"
    why = f" ({run.pause_note})" if run.pause_note is not None else ""
    if step is not None and step.status == "timed_out":
        message = (
            f"It was paused {by}{why}, and its wait {step.name!r} timed out meanwhile: it fails when it is resumed"
        )
        return _why(run, "paused", f"{message}, unless you inject the event into that step before.", step=step)
    return _why(run, "paused", f"It was paused {by}{why}. Resume it to let it go on.")


def _waiting(run: Run) -> Why:
    step = run.steps.get(run.open_step) if run.open_step is not None else None
    name = step.name if step is not None else ""
    at = _text(run.next_at) if run.next_at is not None else "something happens"
    match run.reason:
        case "sleep":
            return _why(run, "sleep", f"It sleeps in step {name!r} until {at}.", until=run.next_at, step=step)
        case "wait_event":
            event = step.wait_event if step is not None else None
            message_to_run = message_name(event) if event else None
            what = f"event {event!r}" if message_to_run is None else f"message {message_to_run!r}"
            message = f"It waits in step {name!r} for {what}, at most until {at}."
            return _why(run, "wait_event", message, until=run.next_at, step=step)
        case "invoke":
            child = step.child_run_id if step is not None else None
            message = f"It waits in step {name!r} for run {child}, at most until {at}."
            return _why(run, "invoke", message, until=run.next_at, step=step)
        case "throttle" if run.restarted_from is not None:
            message = f"The runs before it restarted at once, without a step; it may start at {at}."
            return _why(run, "throttle", message, run.next_at)
        case "throttle":
            return _why(
                run, "throttle", f"Its function starts so many runs a period; it may start at {at}.", run.next_at
            )
        case _ if step is not None:
            last = read_error(step.error or "").message
            message = f"Attempt {step.attempt} of {step.attempts_max} of step {name!r} failed: {last.rstrip('.')}."
            return _why(run, "retry", f"{message} The next one starts at {at}.", until=run.next_at, step=step)
        case _ if run.compensating is not None:
            what = "Compensations failed" if run.not_begun is None else "Its compensations have not begun"
            return _why(run, "retry", f"{what}; they are tried again at {at}.", until=run.next_at)
        case _:
            message = f"Attempt {run.attempt} of {run.policy.max_attempts} failed; the next one starts at {at}."
            return _why(run, "retry", message, until=run.next_at)


def _pending(tx: Tx, repository: RunRepository, run: Run, oldest: Oldest) -> Why:
    if run.lease is not None and run.lease.state == "queued":
        return _queued(tx, run, repository.missing_slots(tx, run, HOLDERS_MAX))
    function = functions.function(tx, run.environment, run.function_id)
    if function is not None and functions.is_push(function):
        return _pushed(tx, run, function.config.endpoint_url, oldest.now)
    workers = serving(tx, run.environment, run.function_id, oldest.alive)
    if not workers:
        return _why(run, "no_worker", f"No live worker serves function {run.function_id!r}. Start one.")
    labels = function.config.labels if function is not None else {}
    lacking = min((missing_labels(worker.labels, labels) for worker in workers), key=len)
    if lacking:
        message = f"No live worker that serves function {run.function_id!r} has the label {' and '.join(lacking)}. "
        return _why(run, "no_labels", message + "Start a worker with it, or change the function's labels.")
    version = code_versions.version_of(tx, run.id) if repository.is_pinned(run) else None
    if version is not None and version not in {each.code_versions.get(run.function_id, "") for each in workers}:
        message = (
            f"It began with version {version!r} of its function, which no live worker serves. Start a worker of that "
            f"version, or move its runs to the newest: "
            f"`ironflow function move-runs {run.function_id} --from {version}`."
        )
        return _why(run, "no_version", message)
    kept = actor_worker(tx, run, oldest.actors) if run.actor_id is not None else None
    if kept is not None:
        return _of_actor(run, *kept, oldest)
    return _why(
        run, "no_free_worker", f"All workers that serve function {run.function_id!r} are busy, or about to ask."
    )


def _of_actor(run: Run, worker_id: str, seen_at: Millis, oldest: Oldest) -> Why:
    until = seen_at + oldest.actor_ms
    message = (
        f"Actor {run.actor_id!r} of its function is on worker {worker_id}, which is busy or about to ask. Another "
        f"worker takes it when that one leaves, or makes no request until {_text(until)}."
    )
    return _why(run, "actor", message, until=until, worker_id=worker_id, actor_id=run.actor_id)


def _pushed(tx: Tx, run: Run, url: str, now: Millis) -> Why:
    """Of a run that is ready for the endpoint of its function."""
    breaker = endpoints.breaker(tx, run.environment, url)
    endpoint_id = endpoints.endpoint_id(url)
    if endpoints.state_of(breaker, now) == "open":
        message = (
            f"The circuit breaker of its endpoint {url} is open after {breaker.failures} failures in a row, the last "
            f"with {breaker.error} The endpoint is tried again at {_text(breaker.open_until)}, or after "
            "`ironflow circuit-breaker reset`."
        )
        return _why(run, "breaker_open", message, until=breaker.open_until, worker_id=endpoint_id)
    return _why(
        run,
        "endpoint_busy",
        f"Its endpoint {url} has as many requests as it may have, or is about to be called.",
        worker_id=endpoint_id,
    )


def _queued(tx: Tx, run: Run, missing: list[tuple[str, list[str]]]) -> Why:
    """missing: the keys of the slots that it waits for, with the runs that hold them."""
    if not missing:
        return _why(run, "no_slot", "Its slots have just become free; it is about to get them.", held_by=[])
    worker_id: str | None = None
    waits_for: list[str] = []
    sentences: list[str] = []
    for slot_key, held_by in missing:
        key, runs = slot_key.partition(":")[2], ", ".join(held_by)
        if slot_key.startswith(slots.ACTOR_PREFIX):
            waits_for.append("actor")
            holder = RunRepository.look(tx, held_by[:1]).get(held_by[0])
            worker_id = holder.worker_id if holder is not None and holder.lease is not None else None
            where = f" on worker {worker_id}" if worker_id else ""
            sentences.append(f"Runs of actor {key!r} go one after another; it is the turn of {runs}{where}.")
        elif entity := entity_of_scope(slots.scope_of(slot_key)):
            waits_for.append("limit")
            key = key.partition("/")[2]
            sentences.append(f"Handlers of {entity} {key!r} go one after another; it is the turn of {runs}.")
        else:
            waits_for.append("limit")
            scope = slots.scope_of(slot_key)
            key = key.partition("/")[2] if scope else key
            of = f"the limit {scope!r} that functions share" if scope else "its limit"
            what = f"{of}, of key {key!r}" if key and scope else f"the limit of key {key!r}" if key else of
            sentences.append(f"Its function is at {what}; the slots are held by {runs}.")
    held = list(dict.fromkeys(run_id for _, held_by in missing for run_id in held_by))
    actor_id = run.actor_id if "actor" in waits_for else None
    return _why(
        run,
        "no_slot",
        " ".join(sentences),
        held_by=held,
        waits_for=waits_for,
        worker_id=worker_id,
        actor_id=actor_id,
    )


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
    actor_id: str | None = None,
) -> Why:
    unasked: list[str] = msgspec.json.decode(run.unasked_steps) if run.unasked_steps else []
    if unasked:
        message += f" Its handler did not ask for recorded steps: {', '.join(unasked)}. Its code has changed since."
    if run.not_begun is not None:
        last = read_not_begun(run.not_begun)
        times = f"the last {last.times} executions" if last.times > 1 else "the last execution"
        message += f" To undo it, {times} could not begin: {last.message.rstrip('.')}."
    if advised := advice(run):
        message += f" {advised}"
    return Why(
        run_id=run.id,
        state=run.status,
        reason=reason,
        message=message,
        unasked_steps=unasked or None,
        until=to_datetime(until) if until is not None else None,
        event=step.wait_event if step is not None else None,
        step_id=step.step_id if step is not None else None,
        child_run_id=step.child_run_id if step is not None else None,
        worker_id=worker_id,
        actor_id=actor_id,
        held_by=held_by,
        waits_for=waits_for,
    )
