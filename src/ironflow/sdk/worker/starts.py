"""The runs that a handler starts: reported many at once, each known to the handler once it is durable."""

import asyncio
from collections.abc import Callable, Sequence

from ironflow.base.errors import IronflowError
from ironflow.sdk.durable.job.report import Start, Started
from ironflow.sdk.durable.steps.invoke import StartUnanswered
from ironflow.sdk.durable.steps.signals import Stopped

# Of one report, which others wait for meanwhile.
STARTS_MAX = 1_000
STARTS_BYTES_MAX = 1024 * 1024
# After so many reports without an answer, one is not waited for any more.
UNANSWERED_MAX = 5

Result = Started | IronflowError | Stopped


class Starts:
    """What is to be started, and what waits for it. submit: reports soon."""

    def __init__(self, submit: Callable[[], None]) -> None:
        self._submit = submit
        self._waiting: dict[str, tuple[Start, asyncio.Future[Result]]] = {}
        self._sent: list[str] = []
        self._over = False
        self._unanswered = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def start(self, steps: Sequence[Start]) -> Sequence[Started]:
        """What became of each. Raises Stopped when the execution is over, or why the server refuses them."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = []
        for step in steps:
            future: asyncio.Future[Result] = loop.create_future()
            self._waiting[step.step_id] = (step, future)
            futures.append(future)
        if self._over:
            self.end(Stopped())
        else:
            self._submit()
        started: list[Started] = []
        for future in futures:
            result = await future
            if not isinstance(result, Started):
                raise result
            started.append(result)
        return started

    def next_report(self) -> list[Start]:
        """The steps of the next report."""
        steps: list[Start] = []
        size = 0
        for step, _ in self._waiting.values():
            size += len(bytes(step.input))
            if len(steps) == STARTS_MAX or (steps and size > STARTS_BYTES_MAX):
                break
            steps.append(step)
        self._sent = [step.step_id for step in steps]
        return steps

    def settle(self, results: Sequence[Started]) -> bool:
        """The report was applied. False where its answer leaves some out: they are sent again."""
        if not (results or self._sent):
            self._unanswered = 0
            return True
        for result in results:
            self._resolve(result.step_id, result)
        missing = [step_id for step_id in self._sent if step_id in self._waiting]
        self._sent = []
        self._unanswered = self._unanswered + 1 if missing else 0
        if self._unanswered >= UNANSWERED_MAX:
            for step_id in missing:
                self._resolve(step_id, StartUnanswered("The server does not answer which runs it has started."))
        return not missing

    def refused(self, fault: IronflowError) -> bool:
        """Whether the report that was refused had steps of these; they are not sent again."""
        sent, self._sent = self._sent, []
        for step_id in sent:
            self._resolve(step_id, fault)
        return bool(sent)

    def refuse_all(self, fault: IronflowError) -> None:
        """The steps before them are refused, so that they are not sent."""
        for step_id in list(self._waiting):
            self._resolve(step_id, fault)

    def end(self, signal: Stopped) -> None:
        """The execution is over."""
        self._over = True
        for step_id in list(self._waiting):
            self._resolve(step_id, signal)

    def _resolve(self, step_id: str, result: Result) -> None:
        found = self._waiting.pop(step_id, None)
        if found is not None and not found[1].done():
            found[1].set_result(result)
