"""Random histories of runs that share slots, invoke each other, wait for events and are taken in hand by people.

Whatever workers, clocks and people do: each row is the fold of its facts, a recorded result changes only by an
injection, a patch or a resume from a step, a run ends once until it is resumed, slots never exceed their limit
and none is lost, also where a run needs two of them, nothing is undone twice, and every run that has not ended has a
durable reason to wake.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ironflow.engine import commands, facts
from ironflow.engine.commands import Fence, StepReport
from ironflow.engine.errors import (
    RunCancelling,
    RunEnded,
    RunNotPaused,
    RunNotResumable,
    RunRunning,
    StaleExecution,
    StepNotFinished,
    StepNotFound,
)
from ironflow.engine.evolve import fold
from ironflow.engine.model import ErrorValue, Run, Step
from tests.engine.driver import LEASE_MS
from tests.engine.rows import Rows

REFUSALS = (
    RunCancelling, RunEnded, RunNotPaused, RunNotResumable, RunRunning, StaleExecution, StepNotFinished, StepNotFound,
)  # fmt: skip
RUNS_MAX = 6
EVENTS = ("go", "stop")
NAMES = ("a", "b", "c")
WHICH = st.integers(0, RUNS_MAX - 1)
# The newest fence of a run most often, or an older one.
FENCE = st.sampled_from([-1, -1, -1, -1, -2, 0])
# No limit, a limit, an actor key, or both.
SLOTS = st.sampled_from(
    [(None, None), ("key:", None), ("actor:1", None), ("actor:1", "key:"), ("actor:2", "key:"), ("actor:2", "key:2")]
)
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=3)
# What a waiting run has to have among the timers, by its reason.
TIMERS = {"sleep": "sleep", "wait_event": "wait", "invoke": "invoke", "retry": "retry", "throttle": "start"}
ENDS = (facts.RunCompleted, facts.RunFailed, facts.RunCancelled)
BY_HAND = (facts.StepInjected, facts.StepPatched)


class Families(RuleBasedStateMachine):
    """Some runs of `charge` with a limit, children of theirs, and everything that can happen to them."""

    @initialize(limit=st.integers(1, 3), slots=SLOTS)
    def begin(self, limit: int, slots: tuple[str | None, str | None]) -> None:
        self.rows = Rows(limit)
        self.fences: dict[str, list[Fence]] = {}
        self.checked: dict[str, int] = {}
        self.memo: dict[str, dict[str, Step]] = {}
        for _ in range(3):
            self.another_run(slots, holds=True, later_ms=0, undone=False)

    def run_id(self, which: int, fits: Callable[[Run], Any] = bool) -> str:
        """The id of one of the runs that fit; of any run where none fits."""
        ids = [run.id for run in self.rows.runs.values() if fits(run)] or list(self.rows.runs)
        return ids[which % len(ids)]

    def fenced(self, which: int, index: int) -> str:
        """A run that a worker has, if need be by taking one; for an older fence, one that any worker ever had."""
        if index == -1 and not any(_at_work(run) for run in self.rows.runs.values()):
            self.claim(which, "w1", acked=True)
        return self.run_id(which, _at_work if index == -1 else lambda run: run.id in self.fences)

    def story(self, run_id: str) -> str:
        """The history of a run, for the message of a failing test."""
        reported = [f"{type(fact).__name__} {getattr(fact, 'steps', '') or ''}" for fact in self.rows.facts[run_id]]
        return "\n".join([run_id, *reported, str(self.rows.timers), str(self.rows.waits)])

    def attempt(self, doing: Callable[[], Any]) -> None:
        """What the state of a run forbids is refused, and changes nothing."""
        before = dict(self.rows.runs)
        try:
            doing()
        except REFUSALS:
            assert self.rows.runs == before

    def report(self, which: int, index: int, kind: Any, steps: list[tuple[str, bool]], **more: Any) -> None:
        run_id = self.fenced(which, index)
        fences = self.fences.get(run_id)
        if not fences:
            return
        reported = tuple(_step(run_id, name, failed=failed) for name, failed in steps)
        report = commands.Report(
            fence=fences[max(index, -len(fences))],
            kind=kind,
            lease_ms=LEASE_MS,
            steps=more.pop("also", ()) + reported,
            **more,
        )
        self.attempt(lambda: self.rows.do(run_id, report))

    # Workers.

    @precondition(lambda self: len(self.rows.runs) < RUNS_MAX)
    @rule(slots=SLOTS, holds=st.booleans(), later_ms=st.sampled_from([0, 0, 0, 1_000]), undone=st.booleans())
    def another_run(self, slots: tuple[str | None, str | None], holds: bool, later_ms: int, undone: bool) -> None:
        start_at = self.rows.now + later_ms if later_ms else None
        self.rows.create(
            "charge", slot_key=slots[0], limit_key=slots[1], holds_slot=holds, start_at=start_at, undone=undone
        )

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, worker=st.sampled_from(["w1", "w2"]), acked=st.sampled_from([True, True, False]))
    def a_worker_takes_a_job(self, which: int, worker: str, acked: bool) -> None:
        self.claim(which, worker, acked=acked)

    def claim(self, which: int, worker: str, *, acked: bool) -> None:
        run_id = self.run_id(which, lambda run: run.lease is not None and run.lease.state == "ready")
        fence = self.rows.claim(run_id, worker, acked=acked)
        if fence is not None:
            self.fences.setdefault(run_id, []).append(fence)

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, index=FENCE)
    def a_job_comes_back_or_begins(self, which: int, index: int) -> None:
        run_id = self.run_id(which)
        for fence in self.fences.get(run_id, ())[index:][:1]:
            if index == -2:
                self.rows.do(run_id, commands.GiveBack(fence.job_id))
            else:
                self.attempt(lambda fence=fence: self.rows.do(run_id, commands.Ack(fence, LEASE_MS)))

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, index=FENCE, steps=STEPS)
    def checkpoint(self, which: int, index: int, steps: list[tuple[str, bool]]) -> None:
        self.report(which, index, "progress", steps)

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, index=FENCE, steps=STEPS)
    def complete(self, which: int, index: int, steps: list[tuple[str, bool]]) -> None:
        self.report(which, index, "completed", steps, output='"done"')

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, index=FENCE, steps=STEPS, retryable=st.booleans())
    def fail(self, which: int, index: int, steps: list[tuple[str, bool]], retryable: bool) -> None:
        """A failure for good brings what was undone, as its worker knows it: what is not recorded as undone."""
        run = self.rows.runs[self.fenced(which, index)]
        done = [step for step in run.steps.values() if step.type == "invoke" and step.status == "completed"]
        undone = () if retryable else tuple(_undo(run, step) for step in reversed(done))
        self.report(which, index, "failed", steps, error=ErrorValue(message="no", retryable=retryable), also=undone)

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, index=FENCE, steps=STEPS, ahead_ms=st.sampled_from([-5, 1_000, 10**6]))
    def sleep(self, which: int, index: int, steps: list[tuple[str, bool]], ahead_ms: int) -> None:
        sleep = commands.Sleep(f"{self.fenced(which, index)}:nap:0", "nap", self.rows.now + ahead_ms)
        self.report(which, index, "yielded", steps, yields=(sleep,))

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, index=FENCE, steps=STEPS, event=st.sampled_from(EVENTS), timeout_ms=st.sampled_from([5, 10**6]))
    def wait(self, which: int, index: int, steps: list[tuple[str, bool]], event: str, timeout_ms: int) -> None:
        run_id = self.fenced(which, index)
        wait = commands.WaitForEvent(
            step_id=f"{run_id}:wait-{event}:0",
            name=f"wait-{event}",
            event=event,
            path="",
            value="",
            expression="",
            timeout_ms=timeout_ms,
            found=self.rows.found(run_id, event),
        )
        self.report(which, index, "yielded", steps, yields=(wait,))

    @precondition(lambda self: len(self.rows.runs) < RUNS_MAX)
    @rule(which=WHICH, index=FENCE, asynchronous=st.booleans(), refusal=st.sampled_from(["", "", "it is paused"]))
    def invoke(self, which: int, index: int, asynchronous: bool, refusal: str) -> None:
        invoke = commands.Invoke(
            step_id=f"{self.fenced(which, index)}:child:0",
            name="child",
            function_id="child",
            input="null",
            timeout_ms=50_000,
            asynchronous=asynchronous,
            child_run_id=self.rows.new_id(),
            refusal=refusal,
        )
        self.report(which, index, "yielded", [], yields=(invoke,))

    # The world.

    @rule(event=st.sampled_from(EVENTS))
    def an_event_comes(self, event: str) -> None:
        self.rows.emit(event)

    @rule(by_ms=st.sampled_from([1, 1_000, 30_000, LEASE_MS, 10**6]))
    def time_passes(self, by_ms: int) -> None:
        self.rows.pass_time(by_ms)

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, kind=st.sampled_from(sorted(TIMERS.values())), name=st.sampled_from(["nap:0", "wait-go:0", ""]))
    def a_timer_comes_that_was_not_set(self, which: int, kind: str, name: str) -> None:
        """After a restart a timer may be seen twice; only the step that still waits for it ends by it, when due."""
        run = self.rows.runs[self.run_id(which)]
        step_id = f"{run.id}:{name}" if name else ""
        if run.open_step != step_id and run.reason != {"start": "throttle"}.get(kind, kind):
            before = dict(self.rows.runs)
            self.rows.fire_timer(run.id, kind, step_id)
            assert self.rows.runs == before or (run.id, kind, step_id) in self.rows.timers

    # People.

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH)
    def pause(self, which: int) -> None:
        self.attempt(lambda: self.rows.do(self.run_id(which), commands.Pause()))

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, from_step=st.sampled_from([None, None, 0, 1]))
    def resume_or_retry(self, which: int, from_step: int | None) -> None:
        run_id = self.run_id(which, lambda run: run.status in ("paused", "failed"))
        self.attempt(lambda: self.rows.do(run_id, commands.Resume(from_sequence=from_step)))

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, name=st.sampled_from([*NAMES, "nap", "child"]), patch=st.booleans())
    def another_output(self, which: int, name: str, patch: bool) -> None:
        run_id = self.run_id(which, lambda run: run.status == "paused" and f"{run.id}:{name}:0" in run.steps)
        step_id, output = f"{run_id}:{name}:0", f'"{self.rows.new_id()}"'
        if patch:
            self.attempt(lambda: self.rows.do(run_id, commands.Patch(step_id, output, "", "key:1")))
        else:
            self.attempt(lambda: self.rows.do(run_id, commands.Inject(step_id, output, "")))

    @precondition(lambda self: self.rows.runs)
    @rule(which=WHICH, how=st.sampled_from(["", "", "", "an event", "a client", "force"]))
    def cancel(self, which: int, how: str) -> None:
        if how:
            command = commands.Cancel("not wanted", force=how == "force", by_request=how == "a client")
            self.attempt(lambda: self.rows.do(self.run_id(which), command))

    @precondition(lambda self: any(run.policy.compensates_on_cancel for run in self.rows.runs.values()))
    @rule(which=WHICH)
    def cancel_one_that_is_undone(self, which: int) -> None:
        run_id = self.run_id(which, lambda run: run.policy.compensates_on_cancel and not run.ended)
        self.attempt(lambda: self.rows.do(run_id, commands.Cancel("not wanted")))

    # What always holds.

    @invariant()
    def each_row_is_the_fold_of_its_facts(self) -> None:
        for run in self.rows.runs.values():
            assert fold(None, self.rows.facts[run.id]) == run
            assert run.version == len(self.rows.facts[run.id])

    @invariant()
    def a_recorded_result_changes_by_hand_only(self) -> None:
        for run in self.rows.runs.values():
            happened = self.rows.facts[run.id][self.checked.get(run.id, 0) :]
            replaced = {each.step.step_id: each.step for each in happened if isinstance(each, BY_HAND)}
            dropped = min(
                (each.from_sequence for each in happened if isinstance(each, facts.StepsDropped)), default=None
            )
            for step in self.memo.get(run.id, {}).values():
                if dropped is None or step.sequence < dropped:
                    assert run.steps[step.step_id] == replaced.get(step.step_id, step)
            self.memo[run.id] = {name: step for name, step in run.steps.items() if step.status == "completed"}
            self.checked[run.id] = len(self.rows.facts[run.id])

    @invariant()
    def a_run_ends_once_until_it_is_resumed(self) -> None:
        for run in self.rows.runs.values():
            ended = False
            for fact in self.rows.facts[run.id]:
                if isinstance(fact, facts.RunResumed | facts.StepsDropped):
                    ended = False
                # An ended run changes only by another output of a step.
                assert not ended or isinstance(fact, facts.StepPatched), fact
                ended = ended or isinstance(fact, ENDS)
            assert ended == run.ended

    @invariant()
    def a_run_that_is_to_be_cancelled_ends_as_that(self) -> None:
        for run in self.rows.runs.values():
            assert run.cancelling is None or run.status not in ("completed", "failed"), self.story(run.id)

    @invariant()
    def nothing_is_undone_twice(self) -> None:
        for run in self.rows.runs.values():
            undone: set[str] = set()
            for fact in self.rows.facts[run.id]:
                match fact:
                    case facts.StepsDropped():
                        undone.clear()
                    case facts.StepsRecorded(steps=steps):
                        ids = {step.step_id for step in steps if step.type == "compensate"}
                        assert not ids & undone
                        undone |= ids
                    case _:
                        continue

    @invariant()
    def slots_never_exceed_their_limit_and_none_is_lost(self) -> None:
        free = self.rows.free()
        assert all(left >= 0 for left in free.values()), free
        for queued in self.rows.queued():
            assert any(free[key] == 0 for key in queued.keys), f"all slots are free that {queued.run_id} queues for"

    @invariant()
    def each_unfinished_run_has_a_reason_to_wake(self) -> None:
        for run in self.rows.runs.values():
            match run.status:
                case "pending":
                    assert run.lease is not None
                    assert run.lease.state in ("ready", "queued")
                case "running":
                    assert run.lease is not None
                    assert run.lease.live
                    assert run.lease.expires_at > self.rows.now
                case "waiting" | "paused":
                    assert run.lease is None
                    self.check_open(run)
                case _:
                    assert run.ended
                    assert run.lease is None

    def check_open(self, run: Run) -> None:
        """What it waits for will come; what a paused run was in the middle of is waited for all the same."""
        step = run.steps.get(run.open_step) if run.open_step is not None else None
        if run.status == "waiting":
            step_id = run.open_step or "" if run.reason in ("sleep", "wait_event", "invoke") else ""
            assert self.rows.timers[run.id, TIMERS[run.reason], step_id] == run.next_at
        if step is None or step.status not in ("sleeping", "waiting"):
            assert run.status == "paused" or run.reason in ("retry", "throttle")
            return
        match step.type:
            case "sleep":
                assert self.rows.timers[run.id, "sleep", step.step_id] == step.sleep_until
            case "wait_for_event":
                assert self.rows.timers[run.id, "wait", step.step_id] == step.wait_until
                assert self.rows.waits[run.id, step.step_id] == step.wait_event
            case _:
                assert self.rows.timers[run.id, "invoke", step.step_id] == step.wait_until
                child = self.rows.runs[step.child_run_id or ""]
                assert not child.ended
                assert (child.parent_run_id, child.parent_step_id) == (run.id, step.step_id)

    @invariant()
    def nothing_is_kept_for_runs_that_have_ended(self) -> None:
        """Except the timer of a retry or start that a resume did not wait for: it changes nothing."""
        timed = {run_id for run_id, kind, _ in self.rows.timers if kind not in ("retry", "start")}
        for run_id in timed | {wait[0] for wait in self.rows.waits}:
            assert not self.rows.runs[run_id].ended, self.story(run_id)


def _at_work(run: Run) -> bool:
    return run.lease is not None and run.lease.live


def _step(run_id: str, name: str, *, failed: bool) -> StepReport:
    return StepReport(
        step_id=f"{run_id}:{name}:0",
        name=name,
        type="invoke",
        status="failed" if failed else "completed",
        output=None if failed else f'"{name}"',
        error='{"message":"no"}' if failed else None,
    )


def _undo(run: Run, step: Step) -> StepReport:
    name = f"compensate:{step.name}"
    return StepReport(
        step_id=f"{run.id}:{name}:0",
        name=name,
        type="compensate",
        status="completed",
        output="null",
        error=None,
        compensation_for=step.name,
    )


TestFamilies = Families.TestCase
TestFamilies.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
