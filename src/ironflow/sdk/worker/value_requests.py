"""Requests that record run values beside the reports of their job: takes of messages and answers to them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from ironflow.sdk.durable.job.report import SetValue
from ironflow.sdk.durable.steps.signals import Stopped
from ironflow.sdk.worker.protocol import MESSAGE_VALUES
from ironflow.sdk.worker.unreported import Unreported


class Checkpoints(Protocol):
    """The reports of a job. submitted: one is on its way or requested. over: no more follow."""

    submitted: bool

    @property
    def over(self) -> bool: ...

    def submit(self) -> None: ...


class ValueRequests:
    """Keeps reports and these requests apart: of two values of one name, the server keeps the one that arrives last."""

    def __init__(self, unreported: Unreported, checkpoints: Checkpoints) -> None:
        self._unreported = unreported
        self._checkpoints = checkpoints
        # Requests that are under way or wait to be.
        self._count = 0
        self._one_at_a_time = asyncio.Lock()
        # A report waits for them.
        self._deferred = False
        self._until_settled: list[asyncio.Future[None]] = []

    def defer(self) -> bool:
        """Whether a report has to wait; it is submitted after the last request."""
        if self._count:
            self._deferred = True
        return self._count > 0

    @asynccontextmanager
    async def values(self, *, behind_rows: bool) -> AsyncIterator[Sequence[SetValue]]:
        """The values that the server does not have, for a request that records them. Raises Stopped.

        behind_rows: steps that other branches have just ended are reported first; else their values go with them.
        """
        unreported = self._unreported
        if unreported.execution is None or MESSAGE_VALUES not in unreported.reporter.features:
            yield ()
            return
        needed = unreported.execution.values.rows_before(unreported.known_value) if behind_rows else 0
        while unreported.known < needed:
            await self._settled()
        if not unreported.values(unreported.known)[0]:
            yield ()
            return
        self._count += 1
        try:
            async with self._one_at_a_time:
                while self._checkpoints.submitted:
                    await self._settled()
                values, sent = unreported.values(unreported.known)
                yield values
                unreported.known_value = sent
        finally:
            self._count -= 1
            if self._deferred and not self._count:
                self._deferred = False
                if not self._checkpoints.over:
                    self._checkpoints.submit()

    async def _settled(self) -> None:
        """Waits for the outcome of a report. Raises Stopped."""
        if not self._checkpoints.over:
            settled = asyncio.get_running_loop().create_future()
            self._until_settled.append(settled)
            await settled
        if self._checkpoints.over:
            raise Stopped

    def wake(self) -> None:
        """Wakes requests that wait for the outcome of a report: it has arrived, or no more follow."""
        waiting, self._until_settled = self._until_settled, []
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)
