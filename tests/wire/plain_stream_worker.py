"""A streaming worker written from the protocol documents alone: binary messages in gzip frames, as some clients send.

It uses only what protocol/worker-stream.md describes. Its function is that of `plain_worker`: reserve, charge, a nap,
ship.
"""

import zlib
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.wire.clients import PROTO, Http2, packed
from tests.wire.oracle import made, plain, requests_and_responses
from tests.wire.plain_worker import EVENT, FUNCTION, NAP_S, Yielded

RPC = "WorkerService/Connect"
WORKER_MESSAGE, ENGINE_MESSAGE = requests_and_responses(RPC)
HEADERS = {
    "content-type": PROTO,
    "connect-protocol-version": "1",
    "connect-content-encoding": "gzip",
    "connect-accept-encoding": "gzip,identity",
}
INVOKE = 1
REFRESHED = 1
COMPRESSED, END = 1, 2


class PlainStreamWorker:
    """Registers its function over HTTP/1.1 and itself on a stream, then works."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        connection: Http2,
        worker: str = "plain-stream-1",
        runtime: str = "python-plain",
    ) -> None:
        self._client = client
        self._connection = connection
        self._worker, self._runtime = worker, runtime
        self._jobs: deque[dict[str, Any]] = deque()
        self.executions: list[str] = []

    async def register(self) -> None:
        function = {"id": FUNCTION, "name": FUNCTION, "triggers": [{"event": EVENT}], "retry": {"maxAttempts": 3}}
        answer = await self._client.post("/ironflow.v1.IronflowService/RegisterFunction", json=function)
        answer.raise_for_status()
        self._stream = self._connection.post(f"/ironflow.v1.{RPC}", HEADERS, end=False)
        registration = {"worker_id": self._worker, "function_ids": [FUNCTION], "max_concurrent_jobs": 4}
        self._send(register={**registration, "version": {"sdk": "0.0.1", "runtime": self._runtime}})
        await self._stream.head()
        registered = (await self._receive())["registered"]
        assert registered["worker_id"] == self._worker
        assert registered["heartbeat_interval_ms"] > 0

    async def work_off(self, runs: int) -> None:
        """Works until so many runs have ended."""
        ended = 0
        while ended < runs:
            if not self._jobs:
                self._jobs.append((await self._receive())["job"])
            ended += await self._execute(self._jobs.popleft())

    async def begin(self) -> str:
        """Takes the next job, and does nothing more with it. Returns its run id."""
        job = (await self._receive())["job"]
        self._send(job_ack={name: job[name] for name in ("job_id", "run_id", "execution_seq", "lease_token")})
        return job["run_id"]

    async def leave(self) -> None:
        """Ends the request; the server then ends the stream."""
        self._stream.end()
        assert [frame.error for frame in await self._stream.rest()] == [""]

    async def _execute(self, job: dict[str, Any]) -> bool:
        """Whether the run has ended with this execution."""
        self.executions.append(job["job_id"])
        fence = {name: job[name] for name in ("job_id", "execution_seq", "lease_token")}
        self._send(job_ack={**fence, "run_id": job["run_id"]})
        beat = {"worker_id": self._worker, "active_jobs": 1, "jobs": [{**fence, "run_id": job["run_id"]}]}
        self._send(heartbeat=beat)
        while "lease_refresh" not in (message := await self._receive()):
            self._jobs.append(message["job"])
        segments = message["lease_refresh"]["segments"]
        assert [(each["run_id"], each["state"]) for each in segments] == [(job["run_id"], REFRESHED)]
        memo = {each["step_id"]: each for each in job.get("completed_steps", [])}
        data = job["event"]["data"]
        seq = int(job["execution_seq"])
        try:
            reserved = self._step(job, fence, memo, "reserve", {"sku": data["sku"], "in execution": seq})
            charged = self._step(job, fence, memo, "charge", data["total"])
            self._sleep(job, fence, memo)
            shipped = self._step(job, fence, memo, "ship", {"in execution": seq})
        except Yielded:
            return False
        output = {"reserved": reserved, "charged": charged, "shipped": shipped, "attempt": job["attempt"]}
        self._send(job_completed={**fence, "output": output})
        return True

    def _step(self, job: dict[str, Any], fence: dict[str, Any], memo: dict[str, Any], name: str, output: Any) -> Any:
        step_id = f"{job['run_id']}:{name}:0"
        if (known := memo.get(step_id)) is not None:
            return known["output_value"] if "output_value" in known else known.get("output")
        self._send(step_started={**fence, "step_id": step_id, "name": name, "step_type": INVOKE})
        value = {"output": output} if isinstance(output, dict) else {"output_value": output}
        self._send(step_completed={**fence, "step_id": step_id, **value, "duration_ms": 1})
        return output

    def _sleep(self, job: dict[str, Any], fence: dict[str, Any], memo: dict[str, Any]) -> None:
        step_id = f"{job['run_id']}:nap:0"
        if step_id not in memo:
            until = (datetime.now(UTC) + timedelta(seconds=NAP_S)).isoformat().replace("+00:00", "Z")
            self._send(step_yielded={**fence, "step_id": step_id, "sleep": {"until": until}})
            raise Yielded

    def _send(self, **frame: Any) -> None:
        self._stream.send(packed(made(WORKER_MESSAGE, frame).SerializeToString()))

    async def _receive(self) -> dict[str, Any]:
        frame = await self._stream.frame()
        assert frame is not None
        assert not frame.flags & END, frame.json()
        data = zlib.decompress(frame.data, 31) if frame.flags & COMPRESSED else frame.data
        return plain(ENGINE_MESSAGE.FromString(data))
