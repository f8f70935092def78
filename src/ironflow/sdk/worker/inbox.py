"""The messages of runs that are executed here, taken and answered by requests of their own."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ironflow.features.messages import contract
from ironflow.features.values.contract import SetValue as WireValue
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import SetValue
from ironflow.sdk.durable.steps.messages import CountedAnswer, TakenMessage
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.worker.held_job import HeldJob

# How long an execution waits in place for a message, before it ends and its run waits without a worker.
HOLD_MS = 1_000


class WorkerInbox:
    """ask: sends an operation. hold_ms: 0 where time stands still."""

    def __init__(self, ask: Callable[..., Awaitable[Any]], worker_id: str, hold_ms: int = HOLD_MS) -> None:
        self._ask = ask
        self._worker_id = worker_id
        self.hold_ms = hold_ms

    async def take(
        self,
        job: Assignment,
        step_id: str,
        step_name: str,
        name: str,
        running: int,
        wait_ms: int,
        values: Sequence[SetValue] = (),
    ) -> TakenMessage | None:
        request = contract.TakeMessage(
            worker=self._worker_id,
            job=job.job_id,
            execution_seq=job.execution_seq,
            lease_token=job.lease_token,
            step_id=step_id,
            step_name=step_name,
            name=name,
            wait_ms=wait_ms,
            running=running,
            values=_on_wire(values),
        )
        taken: contract.Taken = await self._ask(contract.take, request)
        return None if taken.message is None else TakenMessage(Raw(taken.message), taken.ended_at)

    async def answer(
        self,
        job: Assignment,
        step_id: str,
        step_name: str,
        message_id: str,
        refused: bool,
        value: Raw,
        running: int,
        values: Sequence[SetValue] = (),
    ) -> CountedAnswer:
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
            values=_on_wire(values),
        )
        answered: contract.Answered = await self._ask(contract.answer, request)
        return CountedAnswer(answered.counted, answered.ended_at)


class JobInbox:
    """The inbox of one job: its requests carry the values that no report has carried."""

    def __init__(self, inbox: WorkerInbox, held: HeldJob) -> None:
        self._inbox = inbox
        self._held = held

    async def take(
        self, job: Assignment, step_id: str, step_name: str, name: str, running: int, within_ms: int
    ) -> TakenMessage | None:
        wait_ms = min(self._inbox.hold_ms, within_ms)
        async with self._held.sends_values() as values:
            if values:
                # It is not held: reports wait for it.
                found = await self._inbox.take(job, step_id, step_name, name, running, 0, values)
                if found is not None or not wait_ms:
                    return found
        return await self._inbox.take(job, step_id, step_name, name, running, wait_ms)

    async def answer(
        self, job: Assignment, step_id: str, step_name: str, message_id: str, refused: bool, value: Raw, running: int
    ) -> CountedAnswer:
        async with self._held.sends_values() as values:
            return await self._inbox.answer(job, step_id, step_name, message_id, refused, value, running, values)


def _on_wire(values: Sequence[SetValue]) -> list[WireValue]:
    return [WireValue(name=each.name, value=each.value, number=each.number) for each in values]
