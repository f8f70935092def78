"""A fake server for worker tests: it implements protocol/worker-rest.md, records the requests, and can be made to
answer anything."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

STALE = (409, {"error": "STALE_EXECUTION", "message": "the lease is another's"})
DEADLINE_S = 10.0
WORKERS = "/api/v1/workers/{worker}"


@dataclass
class ReceivedRequest:
    """One request. kind: register_function, register, heartbeat, poll, ack, update or reports."""

    kind: str
    body: Any
    query: dict[str, str]
    headers: dict[str, str]
    job: str = ""


@dataclass
class FakeServer:
    """features: what it claims to offer. hold: whether empty polls are held until a job comes."""

    features: list[str] = field(default_factory=list)
    hold: bool = True
    received: list[ReceivedRequest] = field(default_factory=list)
    url: str = ""
    polls_open: int = 0
    # Answers to give instead of the usual one, by kind of request: (status, body), once each.
    scripted: dict[str, deque[tuple[int, Any]]] = field(default_factory=lambda: defaultdict(deque))
    _jobs: deque[dict[str, Any]] = field(default_factory=deque)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _numbers: int = 0

    # What tests do.

    async def give(self, function_id: str = "f", data: Any = None, **more: Any) -> dict[str, Any]:
        """Puts a job in the queue."""
        self._numbers += 1
        job = {
            "job_id": f"job_{self._numbers}",
            "run_id": f"run_{self._numbers}",
            "function_id": function_id,
            "attempt": 1,
            "event": {"id": "evt_1", "name": "e", "version": 1, "data": data, "timestamp": "2026-01-01T00:00:00Z"},
            "completed_steps": [],
            "step_sequence_base": 0,
            "execution_seq": 1,
            "lease_token": f"lt_{self._numbers}",
            "max_attempts": 3,
            "on_exhausted": "fail",
        } | more
        async with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
        return job

    async def until(self, holds: Callable[[], Any]) -> None:
        await until(holds)

    def of(self, kind: str, job: str = "") -> list[ReceivedRequest]:
        return [each for each in self.received if each.kind == kind and job in ("", each.job)]

    def updates(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """The reports on a job, whether they came alone or in a batch."""
        alone = [each.body for each in self.of("update", job["job_id"])]
        batched = [update for each in self.of("reports") for update in each.body["reports"]]
        return alone + [update for update in batched if update["job_id"] == job["job_id"]]

    async def final(self, job: dict[str, Any]) -> dict[str, Any]:
        """The report with which the job's execution ended."""
        ends = ("completed", "failed", "yielded")
        await self.until(lambda: any(each["status"] in ends for each in self.updates(job)))
        return next(each for each in self.updates(job) if each["status"] in ends)

    # What the worker meets.

    async def start(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/v1/capabilities", self._capabilities),
                web.post("/ironflow.v1.IronflowService/RegisterFunction", self._register_function),
                web.post(WORKERS + "/register", self._register),
                web.post(WORKERS + "/heartbeat", self._heartbeat),
                web.get(WORKERS + "/jobs", self._poll),
                web.put(WORKERS + "/jobs/{job}/ack", self._ack),
                web.put(WORKERS + "/jobs/{job}", self._update),
                web.post(WORKERS + "/reports", self._reports),
            ]
        )
        # A poll whose client has disconnected ends, as on a real server.
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, kind: str, request: web.Request) -> web.Response | None:
        body = await request.json() if request.can_read_body else None
        job = request.match_info.get("job", "")
        async with self._changed:
            self.received.append(ReceivedRequest(kind, body, dict(request.query), dict(request.headers), job))
            self._changed.notify_all()
        if not self.scripted[kind]:
            return None
        status, answer = self.scripted[kind].popleft()
        return web.json_response(answer, status=status)

    async def _capabilities(self, request: web.Request) -> web.Response:
        answer = {"transports": [], "features": self.features, "version": "fake", "auth_required": False}
        return await self._handle("capabilities", request) or web.json_response(answer)

    async def _register_function(self, request: web.Request) -> web.Response:
        answer = await self._handle("register_function", request)
        body = self.received[-1].body
        times = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}
        return answer or web.json_response({"function": {**body, **times}, "created": True})

    async def _register(self, request: web.Request) -> web.Response:
        return await self._handle("register", request) or web.json_response({"status": "registered"})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        return await self._handle("heartbeat", request) or web.json_response({"status": "ok"})

    async def _poll(self, request: web.Request) -> web.Response:
        if answer := await self._handle("poll", request):
            return answer
        if not self._jobs and not self.hold:
            return web.Response(status=204)
        self.polls_open += 1
        try:
            return await self._held_poll(request)
        finally:
            self.polls_open -= 1

    async def _held_poll(self, request: web.Request) -> web.Response:
        async with self._changed:
            await self._changed.wait_for(lambda: self._jobs or self.scripted["poll"])
            if not self._jobs:
                status, body = self.scripted["poll"].popleft()
                return web.json_response(body, status=status)
            count = min(int(request.query["available"]), len(self._jobs))
            jobs = [self._jobs.popleft() for _ in range(count)]
        return web.json_response({"jobs": jobs})

    async def _ack(self, request: web.Request) -> web.Response:
        return await self._handle("ack", request) or web.json_response({"status": "acked"})

    async def _update(self, request: web.Request) -> web.Response:
        return await self._handle("update", request) or web.json_response({"status": "ok"})

    async def _reports(self, request: web.Request) -> web.Response:
        if answer := await self._handle("reports", request):
            return answer
        reports = (await request.json())["reports"]
        return web.json_response({"results": [self._result_of(each["job_id"]) for each in reports]})

    def _result_of(self, job_id: str) -> dict[str, Any]:
        verdict = {"job_id": job_id, "status": "ok"}
        if self.scripted[job_id]:
            _, body = self.scripted[job_id].popleft()
            verdict |= {"status": "refused", **body}
        return verdict

    async def script(self, kind: str, *answers: tuple[int, Any]) -> None:
        """Gives these answers to the next requests of `kind`; a held poll is answered at once."""
        async with self._changed:
            self.scripted[kind].extend(answers)
            self._changed.notify_all()


async def until(holds: Callable[[], Any]) -> None:
    """Waits until `holds`, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what it asks may be anything
            await asyncio.sleep(0.002)
