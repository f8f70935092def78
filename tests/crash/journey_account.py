"""Compares what the server recorded of journeys, gatherings and cron firings with what was emitted and happened."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from ironflow import Client
from ironflow.sdk.client.views import Event, Run, Step
from tests.crash.journal import Entry
from tests.crash.journey_load import Emissions
from tests.crash.journeys import ANSWERED, ASKED, BOOK, GATHER, GATHERED, JOURNEY, LEG, STAMPED, TICK, UNDO, Journey


@dataclass(frozen=True)
class Ledger:
    """What the server recorded, read over its API. events: in the order of the log. steps: of each run by name."""

    events: list[Event]
    runs: dict[str, Run]
    steps: dict[str, dict[str, Step]]

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def of(self, function_id: str) -> list[Run]:
        return [run for run in self.runs.values() if run.function_id == function_id]


async def read_ledger(client: Client) -> Ledger:
    events = [event async for event in client.events.list(page_size=500)]
    runs = {run.id: run async for run in client.runs.list(page_size=500)}
    looked_into = [run.id for run in runs.values() if run.function_id in (JOURNEY, LEG)]
    steps = {run_id: {step.name: step for step in await client.runs.steps(run_id)} for run_id in looked_into}
    return Ledger(sorted(events, key=lambda event: event.position), runs, steps)


def faults_of_journeys(ledger: Ledger, emissions: Emissions, journal: list[Entry]) -> Iterator[str]:
    """One run for each journey, which ended as planned, with values that step bodies returned and events of the log."""
    returned: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in journal:
        if entry.kind == "finished":
            returned[entry.run, entry.steps[0]].add(entry.value)
    if Counter(event.data["number"] for event in ledger.named(ASKED)) != Counter(emissions.journeys.keys()):
        yield "emitted journeys and recorded events do not correspond one to one"
    for number, emitted in emissions.acknowledged.items():
        if len(emitted.run_ids) != 1 or emitted.run_ids[0] not in ledger.runs:
            yield f"journey {number} was answered with runs {emitted.run_ids}"
    if Counter(run.input["number"] for run in ledger.of(JOURNEY)) != Counter(emissions.journeys.keys()):
        yield "journeys and runs do not correspond one to one"
    children: defaultdict[str | None, list[Run]] = defaultdict(list)
    for run in ledger.of(LEG):
        children[run.parent_run_id].append(run)
    if set(children) - {run.id for run in ledger.of(JOURNEY)}:
        yield "there are legs without a journey"
    for run in ledger.of(JOURNEY):
        outcome = _Outcome(ledger, run, emissions.journeys[run.input["number"]], children[run.id])
        yield from (f"run {run.id}: {fault}" for fault in outcome.faults())
        for name, step in ledger.steps[run.id].items():
            if name in (BOOK, "ask", UNDO) and step.output not in returned[run.id, name]:
                yield f"run {run.id}: step {name} is recorded as {step.output}, which no worker returned"


@dataclass(frozen=True)
class _Outcome:
    """A journey's run with its plan and its child runs."""

    ledger: Ledger
    run: Run
    journey: Journey
    children: list[Run]

    @property
    def steps(self) -> dict[str, Step]:
        return self.ledger.steps[self.run.id]

    def faults(self) -> Iterator[str]:
        run, journey = self.run, self.journey
        if run.status != ("failed" if journey.fails else "completed"):
            yield f"it is {run.status} ({run.error}), and it is {journey}"
        expected = {BOOK: "completed", "ask": "completed", "answer": "completed", LEG: "completed"}
        if journey.leg_fails:
            expected[LEG] = "failed"
        else:
            expected["stamp"] = "completed"
        if journey.fails:
            expected[UNDO] = "completed"
        if {name: step.status.value for name, step in self.steps.items()} != expected:
            yield f"its steps are { ({name: step.status.value for name, step in self.steps.items()}) }, not {expected}"
            return
        yield from self._faults_of_waits()
        yield from self._faults_of_leg()
        outputs = {name: self.steps[name].output for name in (BOOK, LEG)}
        events = {name: self.steps[name].output["id"] for name in ("answer", "stamp") if name in self.steps}
        if not journey.fails and run.output != {"number": journey.number, **outputs, **events}:
            yield f"its output is {run.output}, its steps returned {outputs | events}"

    def _faults_of_waits(self) -> Iterator[str]:
        for name, event_name in (("answer", ANSWERED), ("stamp", STAMPED)):
            recorded = [
                event.id for event in self.ledger.named(event_name) if event.data["number"] == self.journey.number
            ]
            taken = [self.steps[name].output["id"]] if name in self.steps else []
            if taken != recorded:
                yield f"its wait {name} took {taken}, and the events for it are {recorded}"

    def _faults_of_leg(self) -> Iterator[str]:
        step = self.steps[LEG]
        if [child.id for child in self.children] != [step.child_run_id]:
            yield f"its legs are {[child.id for child in self.children]}, its step names {step.child_run_id}"
            return
        (child,) = self.children
        if child.parent_step_id != step.step_id:
            yield f"its leg belongs to step {child.parent_step_id}"
        if child.status != ("failed" if self.journey.leg_fails else "completed") or child.output != step.output:
            yield f"its leg is {child.status} with {child.output}, and its step has {step.output}"


def faults_of_gatherings(ledger: Ledger, emissions: Emissions) -> Iterator[str]:
    """Every acknowledged event is recorded once; none started two runs; the last one of each lane started one."""
    events = ledger.named(GATHERED)
    if Counter(event.data["number"] for event in events) != Counter(emissions.gatherings.keys()):
        yield "emitted gatherings and recorded events do not correspond one to one"
    if not {emitted.event_id for emitted in emissions.gathered.values()} <= {event.id for event in events}:
        yield "an acknowledged gathering is lost"
    runs = Counter(run.event_id for run in ledger.of(GATHER))
    for event_id, times in runs.items():
        if times > 1 or event_id not in {event.id for event in events}:
            yield f"event {event_id} started {times} runs"
    last = {event.data["lane"]: event for event in events}
    for lane, event in last.items():
        if runs[event.id] != 1:
            yield f"the last event of lane {lane}, {event.id}, started {runs[event.id]} runs"
    for run in ledger.of(GATHER):
        if run.status != "completed" or run.output != run.input["number"]:
            yield f"run {run.id} of a gathering is {run.status} with {run.output}"


def faults_of_ticks(ledger: Ledger) -> Iterator[str]:
    """Each firing belongs to one second, later than the one before it, and has one run, which is completed."""
    ticks = [event for event in ledger.events if event.source == "cron"]
    seconds = [event.data["scheduledAt"] for event in ticks]
    if seconds != sorted(set(seconds)):
        yield f"firings are repeated or out of order: {seconds}"
    if Counter(run.event_id for run in ledger.of(TICK)) != Counter(event.id for event in ticks):
        yield "firings and runs do not correspond one to one"
    by_event = {event.id: event for event in ticks}
    for run in ledger.of(TICK):
        event = by_event.get(run.event_id)
        if run.status != "completed" or event is None or run.output != event.data["scheduledAt"]:
            yield f"run {run.id} of a tick is {run.status} with {run.output}"
