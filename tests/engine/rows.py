"""Runs of the pure engine that have to do with each other, and the rows that a server would keep of them, in memory.

What `features/runs/repository.py` does with a decision, in a few lines: timers, waits, children, parents and slots.
"""

from itertools import count

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.admission import Queued, decide_admissions
from ironflow.engine.decide import Decision, decide
from ironflow.engine.effects import (
    AddWait,
    CancelChild,
    DropSteps,
    DropTimer,
    DropTimers,
    DropWait,
    SetTimer,
    StartChild,
)
from ironflow.engine.facts import Fact
from ironflow.engine.model import Policy, Run
from tests.engine.driver import LEASE_MS, LOSSES_MAX, RESERVATION_MS

OCCUPIED = ("ready", "reserved", "held")


class Rows:
    """runs and facts by run id; timers: when due, by (run id, kind, step id); waits: event names by (run id, step id).

    log: names of all events, in order. limit: of each slot key but those of actors, which have one slot each.
    """

    def __init__(self, limit: int) -> None:
        self.now: Millis = 1_000_000
        self.limit = limit
        self.runs: dict[str, Run] = {}
        self.facts: dict[str, list[Fact]] = {}
        self.timers: dict[tuple[str, str, str], Millis] = {}
        self.waits: dict[tuple[str, str], str] = {}
        self.log: list[str] = []
        self._numbers = count(1)

    # What happens.

    def create(
        self,
        function_id: str,
        *,
        slot_key: str | None,
        limit_key: str | None = None,
        holds_slot: bool = True,
        start_at: Millis | None = None,
        parent: tuple[str, str] | None = None,
        run_id: str = "",
        undone: bool = False,
    ) -> str:
        """A new run; its id. parent: run and step that started it. undone: before it is cancelled, or has failed."""
        run_id = run_id or self.new_id()
        command = commands.Create(
            run_id=run_id,
            environment="default",
            function_id=function_id,
            function_version=1,
            event_id="evt_1",
            event_name="order.placed",
            policy=Policy(
                max_attempts=2,
                timeout_ms=5 * LEASE_MS,
                compensation_timeout_ms=3 * LEASE_MS if undone else 0,
                compensates_on_cancel=undone,
            ),
            parent_run_id=parent[0] if parent else None,
            parent_step_id=parent[1] if parent else None,
            slot_key=slot_key,
            limit_key=limit_key,
            holds_slot=holds_slot,
            start_at=start_at,
        )
        self._apply(None, decide(None, command, self.now))
        self._admit()
        return run_id

    def new_id(self) -> str:
        return f"run_{next(self._numbers):03}"

    def do(self, run_id: str, command: commands.Command) -> Decision:
        """What `decide` says, with all that follows. Raises what it raises, and then nothing has changed."""
        run = self.runs[run_id]
        decision = decide(run, command, self.now)
        self._apply(run, decision)
        self._admit()
        return decision

    def claim(self, run_id: str, worker: str, *, acked: bool) -> commands.Fence | None:
        """The fence of the run's next execution; None when it is not ready."""
        number = next(self._numbers)
        command = commands.Claim(
            worker_id=worker,
            job_id=f"job_{number}",
            token=f"token_{number}",
            acked=acked,
            lease_ms=LEASE_MS,
            reservation_ms=RESERVATION_MS,
            log_position=len(self.log),
        )
        if not self.do(run_id, command).facts:
            return None
        lease = self.runs[run_id].lease
        assert lease is not None
        return commands.Fence(job_id=lease.job_id, execution_seq=lease.execution_seq, token=lease.token)

    def emit(self, name: str) -> None:
        """An event comes to all that wait for it."""
        self.log.append(name)
        for run_id, step_id in [wait for wait, event in self.waits.items() if event == name]:
            self.do(run_id, commands.EventReceived(step_id, f'"{name} {len(self.log)}"'))

    def found(self, run_id: str, name: str) -> str | None:
        """The first event of that name since the run's execution began."""
        lease = self.runs[run_id].lease
        begun = lease.log_position if lease is not None else len(self.log)
        later = (position for position in range(begun, len(self.log)) if self.log[position] == name)
        return next((f'"{name} {position + 1}"' for position in later), None)

    def pass_time(self, by_ms: int) -> None:
        """The loops do what is due."""
        self.now += by_ms
        for timer in sorted(self.timers, key=lambda timer: self.timers[timer]):
            if self.timers.get(timer, self.now + 1) <= self.now:
                del self.timers[timer]
                self.fire_timer(*timer)
        for run_id in list(self.runs):
            self.do(run_id, commands.LeaseExpired(losses_max=LOSSES_MAX))

    def fire_timer(self, run_id: str, kind: str, step_id: str) -> None:
        """A timer is due."""
        command: dict[str, commands.Command] = {
            "sleep": commands.SleepDue(step_id),
            "wait": commands.WaitTimedOut(step_id),
            "invoke": commands.InvokeTimedOut(step_id, "child"),
            "start": commands.StartDue(),
            "retry": commands.RetryDue(),
        }
        self.do(run_id, command[kind])

    # What is so.

    def occupied(self, slot_key: str) -> list[Run]:
        """Runs that have a slot of that key and are with a worker or on their way to one."""
        return [
            run
            for run in self.runs.values()
            if slot_key in run.slot_keys and run.lease is not None and run.lease.state in OCCUPIED
        ]

    def kept(self, slot_key: str) -> list[Run]:
        """Paused runs that keep a slot of that key."""
        return [
            run
            for run in self.runs.values()
            if slot_key in run.slot_keys and run.status == "paused" and run.holds_slot and not run.paused_from
        ]

    def queued(self) -> list[Queued]:
        """Runs that wait for slots."""
        return [
            Queued(run.lease.ready_at, run.id, run.slot_keys)
            for run in self.runs.values()
            if run.lease is not None and run.lease.state == "queued"
        ]

    def free(self) -> dict[str, int]:
        """How many slots each key has left; below 0 for one that is beyond its limit."""
        keys = {key for run in self.runs.values() for key in run.slot_keys}
        limits = {key: 1 if key.startswith("actor:") else self.limit for key in keys}
        return {key: limits[key] - len(self.occupied(key)) - len(self.kept(key)) for key in keys}

    # What follows from a decision.

    def _apply(self, before: Run | None, decision: Decision) -> None:
        run = decision.run
        if run is before:
            assert decision.facts == decision.effects == ()
            return
        self.runs[run.id] = run
        self.facts.setdefault(run.id, []).extend(decision.facts)
        for effect in decision.effects:
            match effect:
                case DropTimer(kind=kind, step_id=step_id):
                    self.timers.pop((run.id, kind, step_id), None)
                case DropWait(step_id=step_id):
                    self.waits.pop((run.id, step_id), None)
                case DropTimers():
                    self.timers = {timer: at for timer, at in self.timers.items() if timer[0] != run.id}
                    self.waits = {wait: event for wait, event in self.waits.items() if wait[0] != run.id}
                case DropSteps(from_sequence=first):
                    assert all(step.sequence < first for step in run.steps.values())
                case _:
                    continue
        for effect in decision.effects:
            match effect:
                case SetTimer(kind=kind, due_at=due_at, step_id=step_id):
                    self.timers[run.id, kind, step_id] = due_at
                case AddWait(step_id=step_id, event=event):
                    self.waits[run.id, step_id] = event
                case StartChild(step_id=step_id, run_id=run_id, function_id=function_id):
                    undone = run.policy.compensates_on_cancel
                    parent = (run.id, step_id)
                    self.create(function_id, slot_key=function_id, parent=parent, run_id=run_id, undone=undone)
                case CancelChild(run_id=run_id, cause=cause, force=force):
                    if not self.runs[run_id].ended:
                        self.do(run_id, commands.Cancel(cause, force))
                case _:
                    continue
        if run.ended and run.parent_run_id is not None and not self.runs[run.parent_run_id].ended:
            self._end_in_parent(run, run.parent_run_id)

    def _end_in_parent(self, run: Run, parent_id: str) -> None:
        error = None if run.status == "completed" else f"it is {run.status}"
        command = commands.ChildEnded(
            step_id=run.parent_step_id or "",
            child_run_id=run.id,
            function_id=run.function_id,
            output=run.output,
            error=error,
        )
        self.do(parent_id, command)

    def _admit(self) -> None:
        for queued in decide_admissions(self.queued(), self.free()):
            run = self.runs[queued.run_id]
            self._apply(run, decide(run, commands.Admit(), self.now))
