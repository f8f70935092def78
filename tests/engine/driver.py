"""One run of the pure engine, from command to command: the row, the facts that made it, and its clock."""

from typing import Any

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import Decision, decide
from ironflow.engine.facts import Fact
from ironflow.engine.model import ErrorValue, Policy, Run

LEASE_MS = 90_000
RESERVATION_MS = 30_000
LOSSES_MAX = 10
BROKEN = ErrorValue(message="the card service is down", code="DOWN", retryable=True)
HOPELESS = ErrorValue(message="no such card", code="NO_CARD", retryable=False)


def step(name: str, output: str | None = '"done"', **more: Any) -> commands.StepReport:
    """A completed step of the run; with `error` given, a failed one."""
    failed = more.get("error") is not None
    return commands.StepReport(
        step_id=f"run_1:{name}:0",
        name=name,
        type=more.pop("type", "invoke"),
        status="failed" if failed else "completed",
        output=None if failed else output,
        error=more.pop("error", None),
        **more,
    )


class RunDriver:
    """A run that begins with its creation. `policy` is as for `Policy`."""

    def __init__(self, **policy: Any) -> None:
        self.now: Millis = 1_000_000
        self.facts: list[Fact] = []
        self._claims = 0
        create = commands.Create(
            run_id="run_1",
            environment="default",
            function_id="charge",
            function_version=1,
            event_id="evt_1",
            event_name="order.placed",
            policy=Policy(**policy),
        )
        decision = decide(None, create, self.now)
        self.facts += decision.facts
        self.run: Run = decision.run

    def do(self, command: commands.Command) -> Decision:
        decision = decide(self.run, command, self.now)
        self.facts += decision.facts
        self.run = decision.run
        return decision

    def later(self, by_ms: int) -> None:
        self.now += by_ms

    def claim(self, worker: str = "w1", *, acked: bool = True) -> commands.Fence:
        """The fence of the run's next execution, held by `worker`, or handed out to it where not `acked`."""
        self._claims += 1
        self.do(
            commands.Claim(
                worker_id=worker,
                job_id=f"job_1_{self._claims}",
                token=f"token_{self._claims}",
                acked=acked,
                lease_ms=LEASE_MS,
                reservation_ms=RESERVATION_MS,
            )
        )
        return self.fence()

    def fence(self) -> commands.Fence:
        lease = self.run.lease
        assert lease is not None
        return commands.Fence(job_id=lease.job_id, execution_seq=lease.execution_seq, token=lease.token)

    def ack(self, fence: commands.Fence) -> Decision:
        return self.do(commands.Ack(fence, LEASE_MS))

    def renew(self, fence: commands.Fence, worker: str = "w1") -> Decision:
        return self.do(commands.Renew(fence.job_id, worker, LEASE_MS))

    def report(self, fence: commands.Fence, kind: Any, *steps: commands.StepReport, **more: Any) -> Decision:
        return self.do(commands.Report(fence=fence, kind=kind, lease_ms=LEASE_MS, steps=steps, **more))

    def sleep(self, fence: commands.Fence, until: Millis, *steps: commands.StepReport, name: str = "nap") -> Decision:
        return self.report(fence, "yielded", *steps, yields=(commands.Sleep(f"run_1:{name}:0", name, until),))

    def fail(self, fence: commands.Fence, error: ErrorValue = BROKEN, *steps: commands.StepReport) -> Decision:
        return self.report(fence, "failed", *steps, error=error)

    def lease_over(self) -> Decision:
        """The loop finds the lease's time over; nothing happens when it is not."""
        return self.do(commands.LeaseExpired(losses_max=LOSSES_MAX))

    def lose_lease(self) -> Decision:
        self.later(LEASE_MS)
        return self.lease_over()

    def retry(self) -> Decision:
        return self.do(commands.RetryDue())

    @property
    def steps(self) -> dict[str, tuple[int, str, str | None]]:
        """Sequence, status and output of each recorded step by name."""
        return {each.name: (each.sequence, each.status, each.output) for each in self.run.steps.values()}
