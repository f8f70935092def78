"""A report of a job that is sent by itself and awaited, such as the one that ends its execution."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import JobUpdate
from ironflow.sdk.worker.reporter import Reporter, ReportResult, ReportStatus


class _Single:
    """A report that is sent by itself, and awaited."""

    def __init__(self, job: Assignment, make: Callable[[], JobUpdate], final: bool) -> None:
        self.job, self.final, self.build = job, final, make
        self._result: asyncio.Future[ReportResult] = asyncio.get_running_loop().create_future()

    def settle(self, result: ReportResult) -> None:
        if not self._result.done():
            self._result.set_result(result)

    def __await__(self) -> Generator[Any, None, ReportResult]:
        return self._result.__await__()


async def send(
    reporter: Reporter, job: Assignment, make: Callable[[], JobUpdate], *, final: bool, pauses: tuple[float, ...]
) -> ReportResult:
    """The outcome of a report that `make` builds. pauses: between tries while the server does not answer."""
    for pause in (*pauses, None):
        single = _Single(job, make, final)
        reporter.submit(single)
        result = await single
        if result.status is not ReportStatus.UNKNOWN or pause is None:
            return result
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")
