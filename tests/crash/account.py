"""Compares what the server recorded with what happened according to the journal."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ironflow import Client
from ironflow.sdk.client.views import Event, Run, Step
from tests.crash.errand_load import Asked
from tests.crash.errands import ASKED, ATTEMPTS_MAX, NAP, STEPS, Errand
from tests.crash.journal import Entry


@dataclass(frozen=True)
class Recorded:
    """What the server recorded, read over its API. steps: of each run by name."""

    events: list[Event]
    runs: dict[str, Run]
    steps: dict[str, dict[str, Step]]


async def read_recorded(client: Client) -> Recorded:
    events = [event async for event in client.events.list(name=ASKED, page_size=500)]
    runs = {run.id: run async for run in client.runs.list(page_size=500)}
    steps = {run_id: {step.name: step for step in await client.runs.steps(run_id)} for run_id in runs}
    return Recorded(events, runs, steps)


def faults_of_events(recorded: Recorded, asked: Asked) -> Iterator[str]:
    """Every acknowledged event is there once with its run; what was never acknowledged is there at most once."""
    events = {event.id: event for event in recorded.events}
    by_number = Counter(event.data["number"] for event in recorded.events)
    for number, times in by_number.items():
        if times > 1:
            yield f"errand {number} was emitted once and recorded {times} times"
        if number not in asked.asked:
            yield f"errand {number} was recorded and never emitted"
    for number, emitted in asked.acknowledged.items():
        event = events.get(emitted.event_id)
        if event is None:
            yield f"event {emitted.event_id} of errand {number} was acknowledged and lost"
        elif event.data["number"] != number:
            yield f"event {event.id} is errand {event.data['number']}, not {number}"
        if len(emitted.run_ids) != 1 or emitted.run_ids[0] not in recorded.runs:
            yield f"errand {number} was answered with runs {emitted.run_ids}"
    missing = asked.keyed - asked.acknowledged.keys()
    if missing:
        yield f"errands {missing} were never acknowledged"
    of_events = Counter(run.event_id for run in recorded.runs.values())
    if of_events != Counter(events.keys()):
        yield f"{len(events)} events and {len(recorded.runs)} runs are not one for one"


def faults_of_runs(recorded: Recorded, asked: Asked, journal: list[Entry]) -> Iterator[str]:
    """Every run ended as its errand requires, with the steps and values that step bodies produced."""
    returned: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in journal:
        if entry.kind == "finished":
            returned[entry.run, entry.steps[0]].add(entry.value)
    for run in recorded.runs.values():
        errand = asked.asked[run.input["number"]]
        steps = recorded.steps[run.id]
        yield from (f"run {run.id}: {fault}" for fault in _faults_of_run(run, steps, errand))
        for name in STEPS:
            step = steps.get(name)
            if step is not None and step.status == "completed" and step.output not in returned[run.id, name]:
                yield f"run {run.id}: step {name} is recorded as {step.output}, which no worker returned"


def _faults_of_run(run: Run, steps: dict[str, Step], errand: Errand) -> Iterator[str]:
    done = errand.failures < ATTEMPTS_MAX
    if run.status != ("completed" if done else "failed"):
        yield f"it is {run.status} ({run.error}) and needed {errand.failures} attempts that fail"
    if run.attempt != min(errand.failures + 1, ATTEMPTS_MAX):
        yield f"it ended in attempt {run.attempt} and needed {errand.failures} attempts that fail"
    if run.ended_at is None:
        yield "it has no end"
    completed = {name for name, step in steps.items() if step.status == "completed"}
    expected = {*STEPS, NAP} if done else {"fetch", NAP}
    if completed != expected:
        yield f"its completed steps are {sorted(completed)}"
    outputs = {name: steps[name].output for name in STEPS if name in completed}
    if done and run.output != {"number": errand.number, **outputs}:
        yield f"its output is {run.output}, its steps returned {outputs}"


def faults_of_executions(steps: Mapping[str, Mapping[str, Step]], journal: list[Entry]) -> Iterator[str]:
    """No recorded step is executed again, no execution follows the end of a run, each execution has one worker.

    steps: as the server recorded them, of each run by name.

    An execution is newer than another when its number is higher: the server had refused the older one from the moment
    it handed out the newer. So what was recorded in an older execution must not run in a newer one.
    """
    by_run: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in journal:
        by_run[entry.run].append(entry)
    for run_id, entries in by_run.items():
        naps = steps.get(run_id, {}).get(NAP)
        nap_ends = naps.sleep_until.timestamp() * 1000 if naps is not None and naps.sleep_until is not None else 0
        yield from (f"run {run_id}: {fault}" for fault in _faults_of_executions(entries, nap_ends))


def _faults_of_executions(entries: list[Entry], nap_ends: float) -> Iterator[str]:
    recorded: dict[str, int] = {}
    end: int | None = None
    for entry in entries:
        if entry.kind == "applied":
            for step in entry.steps:
                recorded[step] = min(entry.execution, recorded.get(step, entry.execution))
            if entry.report == "completed":
                if end not in (None, entry.execution):
                    yield f"it was completed by executions {end} and {entry.execution}"
                end = entry.execution
    for entry, times in _repeated(entry for entry in entries if entry.kind == "taken"):
        yield f"execution {entry.execution} was handed out {times} times"
    for entry, times in _repeated(entry for entry in entries if entry.kind == "started"):
        yield f"step {entry.steps[0]} started {times} times in execution {entry.execution}"
    for entry in entries:
        if entry.kind == "taken":
            missing = {step for step, execution in recorded.items() if execution < entry.execution} - {*entry.steps}
            if missing:
                yield f"execution {entry.execution} was handed out without the recorded steps {missing}"
            if end is not None and entry.execution > end:
                yield f"execution {entry.execution} was handed out after execution {end} had completed the run"
        if entry.kind == "started":
            step = entry.steps[0]
            if recorded.get(step, entry.execution) < entry.execution:
                yield f"step {step} ran in execution {entry.execution}, recorded by execution {recorded[step]}"
            if step == "carry" and entry.at < nap_ends - 1:
                yield f"it resumed {nap_ends - entry.at:.0f} ms early"


def _repeated(entries: Iterable[Entry]) -> Iterator[tuple[Entry, int]]:
    """Entries of one kind that occur more than once for an execution and step, with their number."""
    groups: defaultdict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        step = entry.steps[0] if entry.kind == "started" else ""
        groups[entry.kind, entry.execution, step].append(entry)
    return ((same[0], len(same)) for same in groups.values() if len(same) > 1)
