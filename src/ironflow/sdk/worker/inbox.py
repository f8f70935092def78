"""The messages of runs that are executed here, taken and answered by requests of their own."""

from collections.abc import Awaitable, Callable
from typing import Any

from ironflow.features.messages import contract
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.values.payload import Raw

# How long an execution waits in place for a message, before it ends and its run waits without a worker.
HOLD_MS = 1_000


class WorkerInbox:
    """ask: sends an operation. hold_ms: 0 where time stands still."""

    def __init__(self, ask: Callable[..., Awaitable[Any]], worker_id: str, hold_ms: int = HOLD_MS) -> None:
        self._ask = ask
        self._worker_id = worker_id
        self._hold_ms = hold_ms

    async def take(
        self, job: Assignment, step_id: str, step_name: str, name: str, running: int, within_ms: int
    ) -> Raw | None:
        request = contract.TakeMessage(
            worker=self._worker_id,
            job=job.job_id,
            execution_seq=job.execution_seq,
            lease_token=job.lease_token,
            step_id=step_id,
            step_name=step_name,
            name=name,
            wait_ms=min(self._hold_ms, within_ms),
            running=running,
        )
        return (await self._ask(contract.take, request)).message

    async def answer(
        self, job: Assignment, step_id: str, step_name: str, message_id: str, refused: bool, value: Raw, running: int
    ) -> bool:
        request = contract.AnswerMessage(
            worker=self._worker_id,
            job=job.job_id,
            execution_seq=job.execution_seq,
            lease_token=job.lease_token,
            step_id=step_id,
            step_name=step_name,
            message_id=message_id,
            refused=refused,
            value=value,
            running=running,
        )
        return (await self._ask(contract.answer, request)).counted
