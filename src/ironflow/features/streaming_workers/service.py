"""What happens: a worker's stream from its first frame to its end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from ironflow.base.call import Call
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.time import Clock
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs.service import LiveSteps
from ironflow.features.streaming_workers import contract, rules
from ironflow.features.streaming_workers.contract import EngineMessage, WorkerMessage
from ironflow.features.streaming_workers.session import Session


class StreamingWorkers(Lifecycle):
    """The streaming_workers feature. drain_ms: the time that workers get to finish when the server stops.

    node: the incarnation of this process, which the streams end with.
    """

    def __init__(self, jobs: Jobs, live: LiveSteps, clock: Clock, drain_ms: int, node: str) -> None:
        self._jobs, self._live, self._clock = jobs, live, clock
        self._drain_ms, self._node = drain_ms, node
        self._sessions: dict[tuple[str, str], Session] = {}
        self._closed = False
        # Ends of streams that are on their way to the database.
        self._endings: set[asyncio.Task[None]] = set()

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.connect: self.connect}

    async def connect(
        self, call: Call, incoming: AsyncIterator[WorkerMessage]
    ) -> AsyncGenerator[list[EngineMessage], None]:
        try:
            first = await anext(incoming)
        except StopAsyncIteration:
            raise contract.InvalidFrame("The stream ended before its first frame, `register`.") from None
        request = rules.registration(first)
        worker = await self._jobs.admit(call, request, "streaming")
        batches, grace_ms = rules.wants_batches(first), rules.grace_of(first)
        session = Session(
            self._jobs,
            self._live,
            self._clock,
            call,
            request,
            worker,
            batches,
            grace_ms,
            endings=self._endings,
            node=self._node,
            channel=rules.channel_of(first),
        )
        key = (call.environment, worker.id)
        before = self._sessions.get(key)
        if before is not None:
            # The worker connects again before its old stream was seen to end: that one ends, its jobs stay.
            session.inherit(before.job_ids)
            before.replace()
        self._sessions[key] = session
        try:
            async with aclosing(session.answers(incoming)) as answers:
                if self._closed:
                    session.shut_down("the server stops", self._drain_ms)
                async for answer in answers:
                    yield answer
        finally:
            if self._sessions.get(key) is session:
                del self._sessions[key]

    async def stop(self) -> None:
        """Waits for the ends of streams that are on their way to the database."""
        await asyncio.gather(*self._endings, return_exceptions=True)

    def drain(self) -> None:
        """Asks every worker to finish and leave: the server is about to stop."""
        self._closed = True
        for session in self._sessions.values():
            session.shut_down("the server stops", self._drain_ms)

    def on_revoked(self, keys: set[str]) -> None:
        """Jobs were taken from their workers: a worker that has one here stops it at once.

        keys: as `revoked_key` makes them. A notification that is lost costs the time until the worker's next report or
        heartbeat.
        """
        job_ids = {key.rpartition("/")[2] for key in keys}
        for session in self._sessions.values():
            for job_id in job_ids & set(session.job_ids):
                session.revoke(job_id)

    def on_winding_down(self, keys: set[str]) -> None:
        """Workers are to end jobs, and to report them: their runs are to be cancelled. keys: as of `on_revoked`."""
        job_ids = {key.rpartition("/")[2] for key in keys}
        for session in self._sessions.values():
            for job_id in job_ids & set(session.job_ids):
                session.wind_down(job_id)

    def connected(self) -> int:
        return len(self._sessions)
