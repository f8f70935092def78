"""A server with functions and workers, for tests of runs, jobs, timers and events.

    run = await server.a_run(status="running")
    old, new = await server.claim_twice(run, lease_ends_between=True)
    await server.report(old, "completed")

The function is `charge`, started by `order.placed`; the worker is `w1`.
"""

from collections.abc import Sequence
from typing import Any

from ironflow.base.time import Millis, to_datetime
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from tests.support.server import Server

LEASE_MS = 90_000
RESERVATION_MS = 30_000


def step(job: Assignment, name: str, output: Any = None, **more: Any) -> dict[str, Any]:
    """A step of that job as a worker reports it: completed, or failed when `error` is given."""
    status = "failed" if "error" in more else "completed"
    reported = {"id": f"{job.run_id}:{name}:0", "name": name, "type": "invoke", "status": status, "duration_ms": 1}
    return {**reported, **({} if "error" in more else {"output": output}), **more}


class Work(Server):
    """A server with methods for functions, workers, jobs and runs."""

    async def a_function(self, function_id: str = "charge", *, on: str | None = "order.placed", **config: Any) -> None:
        """Registers a function. on: the event that starts it, None for one that is only invoked."""
        triggers = config.pop("triggers", [{"event": on}] if on else [])
        env = config.pop("env", "default")
        await self.call(functions.register, id=function_id, triggers=triggers, env=env, **config)

    async def a_worker(
        self,
        worker: str = "w1",
        function_ids: Sequence[str] = ("charge",),
        *,
        jobs_max: int = 10,
        env: str = "default",
        **more: Any,
    ) -> None:
        await self.call(
            jobs.register, worker=worker, function_ids=list(function_ids), max_concurrent_jobs=jobs_max, env=env, **more
        )

    async def emit(self, event: str = "order.placed", data: Any = None, **more: Any) -> events.Emitted:
        return await self.call(events.emit, event=event, data=data, **more)

    async def a_run(self, *, status: str = "pending", **config: Any) -> runs.Run:
        """A run of `charge` that is pending, or running at worker `w1`. config: of its registration."""
        await self.a_function(**config)
        await self.a_worker()
        (run_id,) = (await self.emit(data={"total": 100})).run_ids
        if status == "running":
            await self.claim()
        return await self.run(run_id)

    async def poll(
        self, worker: str = "w1", *, available: int = 1, acked: bool = True, wait: float = 0, env: str = "default"
    ) -> list[Assignment]:
        return (await self.call(jobs.poll, worker=worker, available=available, acked=acked, wait=wait, env=env)).jobs

    async def claim(self, worker: str = "w1", *, acked: bool = True) -> Assignment:
        """The only job that is ready for the worker."""
        (job,) = await self.poll(worker, acked=acked)
        return job

    async def claim_twice(self, run: runs.Run, *, lease_ends_between: bool) -> tuple[Assignment, Assignment]:
        """The same run's job as worker w1 got it, and as worker w2 got it after the first lease ended."""
        assert lease_ends_between
        await self.a_worker("w2")
        first = await self.claim("w1")
        self.move(LEASE_MS)
        await self.loop("leases")
        second = await self.claim("w2")
        assert first.run_id == second.run_id == run.id
        return first, second

    async def ack(self, job: Assignment, worker: str = "w1") -> None:
        await self.call(
            jobs.ack,
            worker=worker,
            job=job.job_id,
            run_id=job.run_id,
            execution_seq=job.execution_seq,
            lease_token=job.lease_token,
        )

    async def report(
        self, job: Assignment, outcome: str, *steps: dict[str, Any], worker: str = "w1", **more: Any
    ) -> None:
        """A job update with the job's own fence. outcome: progress, completed, failed or yielded."""
        fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
        if outcome == "failed":
            more.setdefault("error", {"message": "the card service is down", "code": "DOWN", "retryable": True})
        await self.ask(
            jobs.update,
            {"worker": worker, "job": job.job_id, "status": outcome, "steps": list(steps), **fence, **more},
        )

    async def sleep(self, job: Assignment, *steps: dict[str, Any], until: Millis, name: str = "nap") -> None:
        """The job yields until `until`."""
        yielded = {"type": "sleep", "step_id": f"{job.run_id}:{name}:0", "until": text_of(until)}
        await self.report(job, "yielded", *steps, yielded=yielded)

    async def heartbeat(self, *listed: Assignment, worker: str = "w1") -> None:
        await self.call(jobs.heartbeat, worker=worker, jobs=[{"job_id": job.job_id} for job in listed])

    async def run(self, run_id: str, env: str = "default") -> runs.Run:
        return await self.call(runs.get, id=run_id, env=env)

    async def steps(self, run_id: str) -> list[runs.Step]:
        return (await self.call(runs.steps, run_id=run_id)).steps

    async def runs(self, **filters: Any) -> list[runs.Run]:
        return (await self.call(runs.list_, **filters)).runs


def text_of(at: Millis) -> str:
    """A time as JSON carries it."""
    return to_datetime(at).isoformat().replace("+00:00", "Z")
