"""A worker written from the protocol documents alone: `python -m tests.wire.plain_worker http://127.0.0.1:9123`.

It uses only what protocol/worker-rest.md and protocol/rest.md describe, with httpx. Its one function, `plain/order`,
has three steps and a sleep: reserve, charge, a nap, ship.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

FUNCTION = "plain/order"
EVENT = "plain.order.placed"
NAP_S = 0.3


class Yielded(Exception):
    """The handler stops here until the server hands the run out again."""


class Job:
    """One execution: the memo it was handed, the steps it made, and the fence that it echoes."""

    def __init__(self, assignment: dict[str, Any]) -> None:
        self.assignment = assignment
        self.id: str = assignment["job_id"]
        self.run_id: str = assignment["run_id"]
        self.fence = {"execution_seq": assignment["execution_seq"], "lease_token": assignment["lease_token"]}
        self._memo = {each["step_id"]: each["output"] for each in assignment["completed_steps"]}
        self._offset: int = assignment["step_sequence_base"]
        self._steps: list[dict[str, Any]] = []
        self.nap: dict[str, Any] | None = None

    def step(self, name: str, output: Any) -> Any:
        """The output of a step; it is made once, however often the handler runs."""
        step_id = f"{self.run_id}:{name}:0"
        if step_id not in self._memo:
            self._memo[step_id] = output
            now = datetime.now(UTC).isoformat()
            self._steps.append(
                {
                    "id": step_id,
                    "name": name,
                    "type": "invoke",
                    "status": "completed",
                    "output": output,
                    "started_at": now,
                    "ended_at": now,
                    "duration_ms": 0,
                }
            )
        return self._memo[step_id]

    def sleep(self, name: str, seconds: float) -> None:
        step_id = f"{self.run_id}:{name}:0"
        if step_id not in self._memo:
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            self.nap = {"type": "sleep", "step_id": step_id, "until": until.isoformat().replace("+00:00", "Z")}
            raise Yielded

    def fresh_steps(self) -> dict[str, Any]:
        """What was not reported yet, as the body of an update carries it."""
        body = {"steps": self._steps, "step_offset": self._offset}
        self._offset += len(self._steps)
        self._steps = []
        return body


def order(job: Job) -> Any:
    """The user's function. The count of its executions is part of what it answers."""
    data = job.assignment["event"]["data"]
    reserved = job.step("reserve", {"sku": data["sku"], "in execution": job.fence["execution_seq"]})
    charged = job.step("charge", data["total"])
    job.sleep("nap", NAP_S)
    shipped = job.step("ship", {"in execution": job.fence["execution_seq"]})
    return {"reserved": reserved, "charged": charged, "shipped": shipped, "attempt": job.assignment["attempt"]}


class PlainWorker:
    """Registers, polls, acknowledges, checkpoints and reports."""

    def __init__(self, client: httpx.AsyncClient, worker: str = "plain-1") -> None:
        self._client = client
        self._at = f"/api/v1/workers/{worker}"

    async def register(self) -> None:
        function = {"id": FUNCTION, "name": FUNCTION, "triggers": [{"event": EVENT}], "retry": {"maxAttempts": 3}}
        path = "/ironflow.v1.IronflowService/RegisterFunction"
        registered = await self._call("POST", path, {**function, "preferredMode": "EXECUTION_MODE_PULL"})
        assert registered["created"] in (True, False)
        version = {"sdk": "0.0.1", "runtime": "plain"}
        await self._call(
            "POST", f"{self._at}/register", {"function_ids": [FUNCTION], "max_concurrent_jobs": 4, "version": version}
        )

    async def work_off(self, runs: int) -> list[str]:
        """Works until so many runs have ended; the ids of the executions it made, in order."""
        executions: list[str] = []
        ended = 0
        while ended < runs:
            answer = await self._client.get(f"{self._at}/jobs", params={"available": 4, "wait": 5})
            if answer.status_code == 204:
                continue
            answer.raise_for_status()
            for assignment in answer.json()["jobs"]:
                job = Job(assignment)
                executions.append(job.id)
                ended += await self._execute(job)
        return executions

    async def _execute(self, job: Job) -> bool:
        """Whether the run has ended with this execution."""
        at = f"{self._at}/jobs/{job.id}"
        await self._call("PUT", f"{at}/ack", {"run_id": job.run_id, **job.fence})
        await self._call("POST", f"{self._at}/heartbeat", {"active_jobs": 1, "jobs": [{"job_id": job.id}]})
        try:
            output = order(job)
        except Yielded:
            await self._call("PUT", at, {"status": "progress", **job.fresh_steps(), **job.fence})
            await self._call("PUT", at, {"status": "yielded", "yield": job.nap, **job.fence})
            return False
        await self._call("PUT", at, {"status": "completed", "output": output, **job.fresh_steps(), **job.fence})
        return True

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = await self._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()


async def place_orders(client: httpx.AsyncClient, totals: list[Any]) -> list[str]:
    """Emits an order for each total; the runs."""
    runs: list[str] = []
    for total in totals:
        answer = await client.post("/api/v1/events", json={"name": EVENT, "data": {"sku": "x-1", "total": total}})
        answer.raise_for_status()
        runs += answer.json()["run_ids"]
    return runs


async def main(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        worker = PlainWorker(client)
        await worker.register()
        runs = await place_orders(client, [100, 2**70, None])
        await worker.work_off(len(runs))
        for run_id in runs:
            sys.stdout.write((await client.get(f"/api/v1/runs/{run_id}")).text + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
