"""The requests of a worker: protocol/worker-rest.md, one method for each.

Every method raises WorkerAuthError when the server refuses the worker's key, and otherwise the server's error.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from ironflow.base.errors import Aborted, AlreadyExists, IronflowError, Unimplemented, WorkerAuthError
from ironflow.base.operation import Operation, Req, Res
from ironflow.features.functions import contract as functions_contract
from ironflow.features.functions.contract import ExecutionMode
from ironflow.features.jobs import contract as jobs_contract
from ironflow.features.pubsub import contract as pubsub_contract
from ironflow.features.server_state import contract as server_contract
from ironflow.features.server_state.contract import Nothing
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.job.assignment import Assignment, read_jobs
from ironflow.sdk.durable.job.report import Started
from ironflow.sdk.durable.steps.compensations import CLEAN_UP
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.wire import current_run
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.operations import error_in, outgoing, read_answer
from ironflow.sdk.wire.tracing import current_headers
from ironflow.sdk.wire.transport import Answer, AsyncTransport
from ironflow.sdk.worker.timing import WorkerTiming

ACKED_POLLS, BATCH_REPORTS, MANY_WAITS = "acked-polls", "batch-reports", "many-waits"
HANDLES = "handles"
WORKER_CONTROL = "worker-control"
LOST_ANSWERS = "lost-answers"
ENTITIES = "entities"
MESSAGE_VALUES = "message-values"

_encode = msgspec.json.encode
_JSON = {"Content-Type": "application/json"}
_REFUSED_KEY = (401, 403)
NO_HEADERS: Mapping[str, str] = {}


class Polled(NamedTuple):
    """Jobs, faults of those that could not be read, and how long to pause before the next poll."""

    jobs: list[Assignment]
    faults: list[str]
    pause_s: float


class ReportAnswer(NamedTuple):
    """What became of one report. fault: why it was not applied. control: as `Verdict.control`, empty to go on.

    started: what it has started.
    """

    fault: IronflowError | None
    control: str
    started: Sequence[Started] = ()


class WorkerProtocol:
    """The requests of one worker."""

    def __init__(self, transport: AsyncTransport, endpoint: Endpoint, worker_id: str, timing: WorkerTiming) -> None:
        self._transport = transport
        self._headers = endpoint.headers()
        self._timing = timing
        self.worker_id = worker_id
        # Of this process among those that use the worker id.
        self.incarnation = secrets.token_hex(4)
        self._path = f"/api/v1/workers/{quote(worker_id, safe='')}"

    async def features(self) -> frozenset[str]:
        """The optional features that the server announces; empty for a server that announces none."""
        try:
            answer = await self._ask(server_contract.capabilities, Nothing())
        except IronflowError as fault:
            if fault.retryable:
                raise
            return frozenset()
        return frozenset(answer.features)

    async def register_function(self, function: FunctionDefinition, features: frozenset[str], many_waits: bool) -> None:
        """features: the server's. many_waits: it has them, and executions that only run compensations.

        Raises Unimplemented for a function that is undone on cancel, and a server where cancels end runs at once.
        """
        request = function.registration(ExecutionMode.PULL)
        if request.compensate_on_cancel and not (many_waits and CLEAN_UP in features):
            raise Unimplemented("on_cancel='compensate': this server, or the plain protocol, ends runs at once.")
        if not many_waits:
            request = msgspec.structs.replace(request, compensation_timeout_ms=0)
        await self._ask(functions_contract.register, request)

    async def register(self, worker: Mapping[str, Any]) -> None:
        await self._send("POST", "/register", _encode({"worker_id": self.worker_id, **worker}))

    async def heartbeat(
        self, jobs: Sequence[tuple[Assignment, datetime]], polls_before: int = 0, answer_lost: bool = False
    ) -> None:
        """jobs: and when each was started; exactly their leases are renewed. Raises NotFound: register again.

        polls_before: polls with lower numbers are over, and these are all jobs of them; 0 where the server does not
        know. answer_lost: the last poll failed.
        """
        held = [{"job_id": job.job_id, "started_at": started_at} for job, started_at in jobs]
        body: dict[str, Any] = {"worker_id": self.worker_id, "active_jobs": len(held), "jobs": held}
        if polls_before:
            body |= {"incarnation": self.incarnation, "polls_before": polls_before, "answer_lost": answer_lost}
        await self._send("POST", "/heartbeat", _encode(body))

    async def poll(self, available: int, acked: bool, grace_ms: int = 0, number: int = 0) -> Polled:
        """Up to `available` jobs. Raises NotFound: register again.

        acked: they come with their leases running, which last for `grace_ms` longer than their functions' timeouts.
        number: of this poll; 0 where the server does not know.
        """
        wait = self._timing.poll_wait
        tail = f"/jobs?available={available}&wait={wait}{'&acked=true' if acked else ''}"
        if acked and grace_ms:
            tail += f"&grace_ms={grace_ms}"
        if number:
            tail += f"&incarnation={self.incarnation}&number={number}"
        answer = await self._send("GET", tail, None, wait + self._timing.poll_margin)
        if answer.status != 204:
            return Polled(*read_jobs(answer.body), 0.0)
        held_s = answer.headers.get("Ironflow-Poll-Wait", "")
        return Polled([], [], 0.0 if held_s.isdigit() and int(held_s) > 0 else self._timing.empty_pause)

    async def control(self, job_ids: Sequence[str]) -> list[tuple[str, str]]:
        """The jobs that are this worker's no more, and why, as `Verdict.control`; held until there is one.

        job_ids: those that it holds. Raises NotFound: register again.
        """
        wait = self._timing.poll_wait
        body = {"jobs": job_ids, "wait": wait}
        answer = await self._send("POST", "/control", _encode(body), wait + self._timing.poll_margin)
        return [(each.job_id, each.control) for each in read_answer(jobs_contract.control, answer).jobs]

    async def leave(self) -> None:
        """The worker takes no more jobs: its actors are free for others."""
        await self._send("DELETE", "", None)

    async def ack(self, job: Assignment) -> None:
        """Starts the lease. Raises StaleExecution or another error: the job is not to be run."""
        body = {"run_id": job.run_id, "execution_seq": job.execution_seq, "lease_token": job.lease_token}
        await self._send("PUT", f"{self._job(job.job_id)}/ack", _encode(body))

    async def update(self, job_id: str, update: Raw) -> None:
        """One report. Raises Aborted when the lease is lost."""
        await self._send("PUT", self._job(job_id), bytes(update))

    async def report(self, updates: Sequence[Raw]) -> dict[str, ReportAnswer]:
        """Several reports of different jobs; the answer to each by job id."""
        answer = await self._send("POST", "/reports", _encode({"reports": updates}))
        return answers_of(read_answer(jobs_contract.report, answer))

    async def publish(self, topic: str, message: Raw, key: str) -> dict[str, Any]:
        """Publishes for the run in whose handler this is called; what its step records."""
        request = pubsub_contract.Publish(topic=topic, data=message, idempotency_key=key)
        done = await self._ask(pubsub_contract.publish, request, {"X-Ironflow-Run-ID": current_run.run_id.get()})
        return {"eventId": done.event_id, "sequence": done.sequence}

    async def ask(self, operation: Operation[Req, Res], request: Req) -> Res:
        """Another operation of the server, for the run in whose handler this is called."""
        return await self._ask(operation, request)

    def _job(self, job_id: str) -> str:
        return f"/jobs/{quote(job_id, safe='')}"

    async def _ask(
        self, operation: Operation[Req, Res], request: Req, more_headers: Mapping[str, str] = NO_HEADERS
    ) -> Res:
        out = outgoing(operation, request, "rpc" if operation.rpc and operation.request.__struct_fields__ else "rest")
        headers = {**self._headers, **out.headers, **more_headers, **current_headers()}
        answer = await self._request(out.method, out.path, headers, out.body, self._timing.request)
        return read_answer(operation, answer)

    async def _send(self, method: str, tail: str, body: bytes | None, timeout_s: float | None = None) -> Answer:
        headers = self._headers if body is None else self._headers | _JSON
        return await self._request(method, self._path + tail, headers, body, timeout_s or self._timing.request)

    async def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        answer = await self._transport.request(method, path, headers, body, timeout_s)
        if answer.status in _REFUSED_KEY:
            raise WorkerAuthError(f"The server refused this worker's API key: {error_in(answer).message}")
        if answer.status >= 300:
            raise error_in(answer)
        return answer


def is_stale(fault: IronflowError) -> bool:
    """Whether the execution is no longer this worker's. Source: protocol/worker-rest.md 8, all its 409s."""
    return isinstance(fault, Aborted | AlreadyExists)


def answers_of(verdicts: jobs_contract.Verdicts) -> dict[str, ReportAnswer]:
    """The answer to the report of each job, by job id."""
    return {each.job_id: ReportAnswer(_fault(each), each.control or "", _started(each)) for each in verdicts.results}


def _started(verdict: jobs_contract.Verdict) -> Sequence[Started]:
    return [Started(step_id=each.step_id, run_id=each.run_id, error=each.error) for each in verdict.started or ()]


def _fault(verdict: jobs_contract.Verdict) -> IronflowError | None:
    if verdict.error is None:
        return None
    body = _encode({"message": verdict.message or verdict.error, "code": verdict.error})
    return error_in(Answer(400, {}, body))
