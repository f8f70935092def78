"""Mocks of step bodies and of invoked functions."""

import inspect
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ironflow.base.errors import NonRetryableError
from ironflow.base.time import Clock
from ironflow.sdk.durable.steps.alternatives import choose
from ironflow.sdk.durable.steps.compensations import Compensation
from ironflow.sdk.durable.steps.publish import Publish
from ironflow.sdk.durable.steps.racing import chosen_branch
from ironflow.sdk.durable.steps.retrying import Attempts
from ironflow.sdk.durable.steps.step_runner import ONCE, StepRunner
from ironflow.sdk.values.payload import from_payload, to_payload
from ironflow.sdk.values.results import result_reader


class NotMocked(NonRetryableError):
    """The function under test met a step, or invoked a function, for which the test has no mock."""

    code = "NOT_MOCKED"


class Mocks:
    """Answers by name. Each call takes the next one, the last one stays for all further calls.

    An answer is a value, an exception to raise, or a callable that is called in place of the body; it may be async,
    and is given the body's arguments unless it takes none.
    """

    def __init__(self) -> None:
        self._answers: dict[str, deque[Any]] = {}

    def add(self, name: str, answers: Sequence[Any]) -> None:
        """Replaces the answers for `name`; without any, the answer is None."""
        self._answers[name] = deque(answers or (None,))

    def __contains__(self, name: str) -> bool:
        return name in self._answers

    async def answer(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        answers = self._answers[name]
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
            raise answer
        if not callable(answer):
            return answer
        value = answer(*args, **kwargs) if _takes_any(answer) else answer()
        return await value if inspect.isawaitable(value) else value


def _takes_any(fn: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        # Some built-in functions have no signature; those take arguments.
        return True


class MockedStepRunner(StepRunner):
    """A StepRunner that replaces the bodies of mocked steps.

    strict: other bodies are not run: a step raises NotMocked, a compensation is recorded as if it had run.
    on_fault: called for each NotMocked, because a handler may catch what a step raises. publish: the body of steps that
    publish; it reaches no subscriber, and is run where it is not mocked.
    """

    def __init__(
        self,
        limit_s: float | None,
        clock: Clock,
        mocks: Mocks,
        strict: bool,
        on_fault: Callable[[NotMocked], None],
        publish: Publish,
    ) -> None:
        super().__init__(limit_s, None, clock)
        self._mocks = mocks
        self._strict = strict
        self._on_fault = on_fault
        self._publish = publish

    async def step(
        self,
        step_id: str,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
        attempts: Attempts = ONCE,
    ) -> Any:
        if name in self._mocks:
            if fn == self._publish:
                args = (from_payload(args[1]),)
            answer = partial(self._mocks.answer, name)
            value = await super().step(step_id, name, answer, args, kwargs, timeout_s, attempts)
            # Read as the real body's result is read, so that a mock which does not fit is found out.
            return result_reader(fn)(to_payload(value, f"the output of step {name!r}"))
        if self._strict and fn not in (self._publish, choose, chosen_branch):
            fault = NotMocked(
                f"step {name!r} is not mocked. Mock it with client.mock_step({name!r}, ...), "
                "or run real bodies with TestClient(..., strict=False)."
            )
            self._on_fault(fault)
            raise fault
        return await super().step(step_id, name, fn, args, kwargs, timeout_s, attempts)

    async def compensate(self, step_id: str, compensation: Compensation) -> bool:
        if compensation.name in self._mocks:
            compensation = compensation._replace(fn=partial(self._mocks.answer, compensation.name))
        elif self._strict:
            compensation = compensation._replace(fn=_nothing)
        return await super().compensate(step_id, compensation)


async def _nothing() -> None:
    """In place of a compensation in a strict test."""
