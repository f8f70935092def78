"""A worker on a stream, as protocol/worker-stream.md describes it: frames as plain data, in both directions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from ironflow.base.call import Call
from ironflow.base.spelling import reader
from ironflow.features.streaming_workers import contract
from ironflow.features.streaming_workers.contract import EngineMessage, Job, WorkerMessage
from tests.support.work import Work

WITHIN_S = 10


class StreamWorker:
    """One stream of a worker. `send` sends a frame, `receive` waits for the next one."""

    def __init__(self, server: Work, env: str = "default") -> None:
        self._sent: asyncio.Queue[WorkerMessage | None] = asyncio.Queue()
        self._there = True
        call = Call(environment=env, now=server.now, is_there=lambda: self._there)
        self._next: asyncio.Future[EngineMessage] | None = None
        self._answers = server.inside.dispatch.stream(contract.connect, call, self._incoming())

    def send(self, **frame: Any) -> None:
        self._sent.put_nowait(reader(WorkerMessage).read(msgspec.json.encode(frame)))

    async def receive(self) -> EngineMessage:
        self._next = self._next or asyncio.ensure_future(anext(self._answers))
        done, _ = await asyncio.wait([self._next], timeout=WITHIN_S)
        assert done, "the server sends nothing"
        received, self._next = self._next, None
        return received.result()

    async def job(self) -> Job:
        """The next frame, which is a job."""
        message = await self.receive()
        assert message.job is not None, message
        return message.job

    async def jobs(self) -> list[dict[str, Any]]:
        """The next frame, which is a batch of jobs."""
        message = await self.receive()
        assert message.jobs is not None, message
        return msgspec.json.decode(message.jobs.body)["jobs"]

    def reports(self, number: int, *reports: dict[str, Any]) -> None:
        self.send(reports={"number": number, "body": {"reports": list(reports)}})

    async def verdicts(self, number: int) -> dict[str, str | None]:
        """What became of those reports: for each job id, None or the code of the refusal. Jobs may come before."""
        while True:
            message = await self.receive()
            if message.verdicts is not None:
                assert message.verdicts.number == number
                results = msgspec.json.decode(message.verdicts.body)["results"]
                return {each["job_id"]: each.get("error") for each in results}

    async def receives_nothing(self) -> None:
        self._next = self._next or asyncio.ensure_future(anext(self._answers))
        done, _ = await asyncio.wait([self._next], timeout=0.05)
        assert not done, self._next.result()

    async def ends(self) -> None:
        """Waits until the server has ended the stream."""
        with pytest.raises(StopAsyncIteration):
            await self._rest()

    async def _rest(self) -> None:
        while True:
            message = await self.receive()
            assert message.job is None, message

    def of(self, job: Job, **more: Any) -> dict[str, Any]:
        """The fields of a report about that job: its id and its fence."""
        return {"jobId": job.job_id, "executionSeq": str(job.execution_seq), "leaseToken": job.lease_token, **more}

    def runs_step(self, job: Job, name: str, output: Any) -> None:
        step_id = f"{job.run_id}:{name}:0"
        self.send(stepStarted=self.of(job, stepId=step_id, name=name, stepType="STEP_TYPE_INVOKE"))
        self.send(stepCompleted=self.of(job, stepId=step_id, output=output, durationMs=3))

    def close_requests(self) -> None:
        self._sent.put_nowait(None)

    async def leave(self) -> None:
        """Closes the connection."""
        self._there = False
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        self._sent.put_nowait(None)
        await self._answers.aclose()

    async def is_cut_twice(self) -> None:
        """Ends the stream as an HTTP server does that cancels the request, and its clean-up too."""
        self._there = False
        self._next = asyncio.ensure_future(anext(self._answers))
        await asyncio.sleep(0)
        self._next.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)

    async def _incoming(self) -> AsyncIterator[WorkerMessage]:
        while (message := await self._sent.get()) is not None:
            yield message


@asynccontextmanager
async def a_stream(
    server: Work,
    worker: str = "s1",
    *,
    functions: tuple[str, ...] = ("charge",),
    jobs_max: int = 10,
    runtime: str = "python-3.12",
    env: str = "default",
    batches: bool = False,
    **more: Any,
) -> AsyncIterator[StreamWorker]:
    """A worker that has registered on its stream."""
    stream = StreamWorker(server, env)
    stream.send(
        register={
            "workerId": worker,
            "hostname": "h",
            "functionIds": list(functions),
            "maxConcurrentJobs": jobs_max,
            "version": {"sdk": "1", "runtime": runtime},
            "batches": batches,
            **more,
        }
    )
    try:
        registered = (await stream.receive()).registered
        assert registered == contract.Registered(worker_id=worker, heartbeat_interval_ms=30_000, batches=batches)
        yield stream
    finally:
        await stream.leave()


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Waits until `await look()` is `wanted`: a report on a stream reaches the database a moment later."""
    found: Any = None
    try:
        async with asyncio.timeout(WITHIN_S):
            while (found := await look()) != wanted:  # noqa: ASYNC110 the database has no event to wait for
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"{found!r} did not become {wanted!r}") from None
