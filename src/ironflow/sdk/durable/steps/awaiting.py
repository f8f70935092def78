"""Steps that are called and never awaited: `ctx.step.run("a", f)` alone does nothing, and Python forgets it."""

import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import CORO_CREATED, getcoroutinestate, iscoroutinefunction
from types import CodeType
from typing import Any, NamedTuple, TypeVar

from ironflow.base.errors import NonRetryableError

T = TypeVar("T")

# Calls that are kept before those that were awaited are dropped.
KEPT_MIN = 32
# A call that nothing else holds: the variable here, and the argument of the question.
_OWN_REFERENCES = 2


class StepNotAwaited(NonRetryableError):
    """A step is called and never awaited, so it did not run. Write `await` before the call."""

    code = "STEP_NOT_AWAITED"


class _Call(NamedTuple):
    made: Coroutine[Any, Any, Any]
    method: str
    step: str
    code: CodeType
    line: int


class Calls:
    """The calls of step methods in one execution, as far as they may not have been awaited."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._prune_at = KEPT_MIN

    def add(self, call: _Call) -> None:
        if len(self._calls) >= self._prune_at:
            self._calls = [each for each in self._calls if getcoroutinestate(each.made) == CORO_CREATED]
            self._prune_at = max(KEPT_MIN, 2 * len(self._calls))
        self._calls.append(call)

    def never_awaited(self) -> StepNotAwaited | None:
        """The first call that was not awaited and that nothing can await any more; None when there is none.

        What a frame of the handler holds may be awaited by a replay. Python does not warn of those that are found.
        """
        calls, self._calls = self._calls[::-1], []
        found: StepNotAwaited | None = None
        while calls:
            made, method, step, code, line = calls.pop()
            if getcoroutinestate(made) != CORO_CREATED:
                continue
            if sys.getrefcount(made) > _OWN_REFERENCES:
                self._calls.append(_Call(made, method, step, code, line))
                continue
            made.close()
            named = f"step {step!r}" if step else f"ctx.step.{method}()"
            found = found or StepNotAwaited(
                f"{named} is called in {code.co_filename}, line {line}, and never awaited, so it did not run. Write "
                f"`await ctx.step.{method}(...)`."
            )
        return found


def noting_calls(cls: type[T]) -> type[T]:
    """Has the public coroutine methods of a class of steps note their calls."""
    for name, method in list(vars(cls).items()):
        if iscoroutinefunction(method) and not name.startswith("_"):
            setattr(cls, name, _noting(name, method))
    return cls


def _noting(name: str, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        made = method(self, *args, **kwargs)
        step = args[0] if args else kwargs.get("name")
        frame = sys._getframe(1)
        self._replay.calls.add(_Call(made, name, step if isinstance(step, str) else "", frame.f_code, frame.f_lineno))
        return made

    return called
