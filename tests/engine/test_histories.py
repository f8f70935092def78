"""Random histories of one run: workers that are late, silent, repetitive and wrong, timers that come twice.

Whatever they do, the row is the fold of its facts, a completed step never changes, a run ends once, and an unfinished
run has a durable reason to wake.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ironflow.engine import facts
from ironflow.engine.commands import Cancel, Fence, GiveBack, Renew, RetryDue, SleepDue, StepReport
from ironflow.engine.decide import Decision
from ironflow.engine.effects import DropTimers, SetTimer
from ironflow.engine.errors import RunEnded, StaleExecution
from ironflow.engine.evolve import fold
from ironflow.engine.model import ErrorValue
from tests.engine.driver import LEASE_MS, LOSSES_MAX, RunDriver, step

LIVE = ("reserved", "held")
NAMES = st.sampled_from("abcdef")
STEPS = st.lists(
    st.builds(
        lambda name, output, failed: step(name, error='{"message":"no"}') if failed else step(name, output),
        NAMES,
        st.sampled_from(["1", "2", "null", '{"x":[1]}']),
        st.booleans(),
    ),
    max_size=4,
)
ERRORS = st.builds(
    lambda retryable, after: ErrorValue(message="no", retryable=retryable, retry_after_ms=after),
    st.booleans(),
    st.sampled_from([None, 1, 400_000]),
)
OFFSETS = st.sampled_from([0, 0, 1, 5])
# One of the fences that were ever given out, the newest most often.
WHICH = st.sampled_from([-1, -1, -1, -2, 0])


class Histories(RuleBasedStateMachine):
    """One run, and every command that it accepts."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = RunDriver(max_attempts=3, timeout_ms=5 * LEASE_MS)
        self.fences: list[Fence] = []
        self.timers: dict[tuple[str, str], int] = {}
        self.memo: dict[str, StepReport | Any] = {}
        self.end: tuple[str, int | None, str | None, str | None] | None = None

    def do(self, decision: Decision) -> None:
        for effect in decision.effects:
            match effect:
                case SetTimer(kind=kind, due_at=due_at, step_id=step_id):
                    self.timers[kind, step_id] = due_at
                case DropTimers():
                    self.timers.clear()
                case _:
                    raise AssertionError(f"{effect} was not to be expected")

    def fence(self, which: int) -> Fence:
        return self.fences[which] if len(self.fences) >= abs(which) else self.fences[-1]

    def send_report(self, fence: Fence, kind: str, *steps: StepReport, **more: Any) -> None:
        """A report; one that is not of the live execution is refused, or is a repetition, and changes nothing."""
        before = self.driver.run
        lease = before.lease
        live = lease is not None and lease.state in LIVE and lease.token == fence.token
        try:
            decision = self.driver.report(fence, kind, *steps, **more)
        except StaleExecution:
            assert not live
            assert self.driver.run is before
        else:
            self.do(decision)
            # A checkpoint without steps changes nothing while the lease is nearly new.
            assert live if decision.facts else not live or kind == "progress"

    @rule(acked=st.booleans(), worker=st.sampled_from(["w1", "w2"]))
    def claim(self, acked: bool, worker: str) -> None:
        ready = self.driver.run.lease is not None and self.driver.run.lease.state == "ready"
        if ready:
            self.fences.append(self.driver.claim(worker, acked=acked))

    @precondition(lambda self: self.fences)
    @rule(which=WHICH)
    def ack(self, which: int) -> None:
        before = self.driver.run
        try:
            self.driver.ack(self.fence(which))
        except StaleExecution:
            assert self.driver.run is before

    @precondition(lambda self: self.fences)
    @rule(which=WHICH, worker=st.sampled_from(["w1", "w2"]))
    def heartbeat(self, which: int, worker: str) -> None:
        self.do(self.driver.do(Renew(self.fence(which).job_id, worker, LEASE_MS)))

    @precondition(lambda self: self.fences)
    @rule(which=WHICH)
    def give_back(self, which: int) -> None:
        self.do(self.driver.do(GiveBack(self.fence(which).job_id)))

    @precondition(lambda self: self.fences)
    @rule(which=WHICH, steps=STEPS, offset=OFFSETS)
    def checkpoint(self, which: int, steps: list[StepReport], offset: int) -> None:
        self.send_report(self.fence(which), "progress", *steps, step_offset=offset)

    @precondition(lambda self: self.fences)
    @rule(which=WHICH, steps=STEPS, offset=OFFSETS, output=st.sampled_from([None, "1"]))
    def complete(self, which: int, steps: list[StepReport], offset: int, output: str | None) -> None:
        self.send_report(self.fence(which), "completed", *steps, step_offset=offset, output=output)

    @precondition(lambda self: self.fences)
    @rule(which=WHICH, steps=STEPS, error=ERRORS)
    def fail(self, which: int, steps: list[StepReport], error: ErrorValue) -> None:
        self.send_report(self.fence(which), "failed", *steps, error=error)

    @precondition(lambda self: self.fences)
    @rule(
        which=WHICH, steps=STEPS, name=st.sampled_from(["nap", "rest"]), ahead_ms=st.sampled_from([-5, 0, 1_000, 10**7])
    )
    def sleep(self, which: int, steps: list[StepReport], name: str, ahead_ms: int) -> None:
        before = self.driver.run
        try:
            decision = self.driver.sleep(self.fence(which), self.driver.now + ahead_ms, *steps, name=name)
        except StaleExecution:
            assert self.driver.run is before
        else:
            self.do(decision)

    @rule(by_ms=st.sampled_from([1, 1_000, 30_000, LEASE_MS, 5 * LEASE_MS]))
    def time_passes(self, by_ms: int) -> None:
        """The loops do what is due, as they do on a running server."""
        self.driver.later(by_ms)
        for (kind, step_id), due_at in sorted(self.timers.items(), key=lambda timer: timer[1]):
            if due_at <= self.driver.now:
                del self.timers[kind, step_id]
                self.do(self.driver.do(RetryDue() if kind == "retry" else SleepDue(step_id)))
        self.do(self.driver.lease_over())

    @rule(name=st.sampled_from(["nap", "rest", "a"]))
    def a_timer_comes_that_was_not_set(self, name: str) -> None:
        """After a restart a timer may be seen twice; only its own step may end by it."""
        if ("sleep", f"run_1:{name}:0") not in self.timers:
            self.do(self.driver.do(SleepDue(f"run_1:{name}:0")))
        if ("retry", "") not in self.timers:
            self.do(self.driver.do(RetryDue()))

    @rule(really=st.sampled_from([False, False, False, True]))
    def cancel(self, really: bool) -> None:
        if not really:
            return
        before = self.driver.run
        try:
            self.do(self.driver.do(Cancel(cause="not wanted")))
        except RunEnded:
            assert before.ended
            assert self.driver.run is before

    @invariant()
    def the_row_is_the_fold_of_its_facts(self) -> None:
        assert fold(None, self.driver.facts) == self.driver.run
        assert self.driver.run.version == len(self.driver.facts)

    @invariant()
    def a_completed_step_never_changes(self) -> None:
        for step_id, known in self.memo.items():
            assert self.driver.run.steps[step_id] == known
        self.memo = {each.step_id: each for each in self.driver.run.steps.values() if each.status == "completed"}

    @invariant()
    def a_run_ends_once(self) -> None:
        run = self.driver.run
        end = (run.status, run.ended_at, run.output, run.error) if run.ended else None
        assert self.end is None or end == self.end
        self.end = end
        ends = [
            each
            for each in self.driver.facts
            if isinstance(each, facts.RunCompleted | facts.RunFailed | facts.RunCancelled)
        ]
        assert len(ends) == int(run.ended)

    @invariant()
    def execution_numbers_rise(self) -> None:
        given = [each.lease.execution_seq for each in self.driver.facts if isinstance(each, facts.Leased)]
        assert given == sorted(set(given))
        assert self.driver.run.execution_seq == (given[-1] if given else 0)

    @invariant()
    def an_unfinished_run_has_a_reason_to_wake(self) -> None:
        run = self.driver.run
        match run.status:
            case "pending":
                assert run.lease is not None
                assert run.lease.state == "ready"
            case "running":
                assert run.lease is not None
                assert run.lease.state in LIVE
                assert run.lease.expires_at > 0
            case "waiting":
                assert run.lease is None
                assert run.next_at in self.timers.values()
            case _:
                assert run.ended
                assert run.lease is None

    @invariant()
    def attempts_and_losses_stay_within_their_limits(self) -> None:
        assert 1 <= self.driver.run.attempt <= 3
        assert self.driver.run.losses < LOSSES_MAX

    @invariant()
    def steps_are_numbered_without_gaps_and_in_order(self) -> None:
        run = self.driver.run
        by_number = sorted(run.steps.values(), key=lambda each: each.number)
        assert [each.number for each in by_number] == list(range(run.step_count))
        sequences = [each.sequence for each in by_number]
        assert sequences == sorted(set(sequences))
        assert run.next_sequence == (sequences[-1] + 1 if sequences else 0)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
