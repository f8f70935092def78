"""What happens: a worker's stream from its first frame to its end."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from ironflow.base.call import Call
from ironflow.base.time import Clock
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs.live import LiveSteps
from ironflow.features.streaming_workers import contract, rules
from ironflow.features.streaming_workers.contract import EngineMessage, WorkerMessage
from ironflow.features.streaming_workers.session import Session


class StreamingWorkers:
    """The streaming_workers room. drain_ms: what workers are given to finish when the server stops."""

    def __init__(self, jobs: Jobs, live: LiveSteps, clock: Clock, drain_ms: int) -> None:
        self._jobs, self._live, self._clock = jobs, live, clock
        self._drain_ms = drain_ms
        self._sessions: dict[tuple[str, str], Session] = {}
        self._closed = False

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.connect: self.connect}

    async def connect(self, call: Call, incoming: AsyncIterator[WorkerMessage]) -> AsyncGenerator[EngineMessage, None]:
        try:
            first = await anext(incoming)
        except StopAsyncIteration:
            raise contract.InvalidFrame("The stream ended before its first frame, `register`.") from None
        request = rules.registration(first)
        worker = await self._jobs.admit(call, request, "streaming")
        batches = rules.wants_batches(first)
        session = Session(self._jobs, self._live, self._clock, call, request, worker, batches)
        place = (call.environment, worker.id)
        before = self._sessions.get(place)
        if before is not None:
            # The worker has come back before its old stream was seen to end: that one is over, its jobs stay.
            session.inherit(before.held)
            before.end()
        self._sessions[place] = session
        try:
            async with aclosing(session.answers(incoming)) as answers:
                if self._closed:
                    session.shut_down("the server stops", self._drain_ms)
                async for answer in answers:
                    yield answer
        finally:
            if self._sessions.get(place) is session:
                del self._sessions[place]

    def close(self) -> None:
        """Asks every worker to finish and leave: the server is about to stop."""
        self._closed = True
        for session in self._sessions.values():
            session.shut_down("the server stops", self._drain_ms)

    def connected(self) -> int:
        return len(self._sessions)
