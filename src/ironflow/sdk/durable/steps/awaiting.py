"""Steps that are called and never awaited: `ctx.step.run("a", f)` alone does nothing, and Python forgets it."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from types import CodeType, CoroutineType
from typing import Any, TypeAlias, TypeVar

from ironflow.base.errors import NonRetryableError

T = TypeVar("T")

# Calls that are kept before those that were awaited are dropped.
KEPT_MIN = 32


class StepNotAwaited(NonRetryableError):
    """A step is called and never awaited, so it did not run. Write `await` before the call."""

    code = "STEP_NOT_AWAITED"


_Made: TypeAlias = "CoroutineType[Any, Any, Any]"
# What was made, the method and the step that it is of, the code that made it, and the place of the instruction there.
_Call: TypeAlias = "tuple[_Made, str, object, CodeType, int]"


class Calls:
    """The calls of step methods in one execution, as far as they may not have been awaited.

    found: the first that was not awaited, and that nothing could await any more.
    """

    def __init__(self) -> None:
        self.found: StepNotAwaited | None = None
        self._calls: list[_Call] = []
        # Those that something held when a branch left for a wait.
        self._left: list[_Call] = []
        self._prune_at = KEPT_MIN

    def add(self, call: _Call) -> None:
        calls = self._calls
        calls.append(call)
        if len(calls) > self._prune_at:
            self._calls = [each for each in calls if _is_new(each[0])]
            self._prune_at = max(KEPT_MIN, 2 * len(self._calls))

    def look(self, *, leaving: bool = False) -> None:
        """Finds calls that nothing holds; Python does not warn of those. The others are looked at no more.

        It is called before a step raises, and when the handler has returned: frames that an exception leaves lose what
        they would have awaited, a variable or the rest of a list. leaving: a replay will await it.
        """
        calls, self._calls = self._calls, []
        # One after the other, so that none is held by more than its place.
        calls.reverse()
        while calls:
            if _is_new(calls[-1][0]) and _references(calls) == _UNHELD:
                calls[-1][0].close()
                self.found = self.found or _not_awaited(calls[-1])
            elif leaving:
                self._left.append(calls[-1])
            calls.pop()

    def close(self) -> None:
        """To be called at the end. Python does not warn of what is awaited by a replay."""
        left = self._left
        while left:
            if _is_new(left[-1][0]) and _references(left) == _UNHELD:
                left[-1][0].close()
            left.pop()


def _is_new(made: _Made) -> bool:
    """As inspect.getcoroutinestate; a frame is made for one that is new, so that comes last."""
    return not (made.cr_suspended or made.cr_running) and made.cr_frame is not None


def _references(calls: Sequence[Sequence[Any]]) -> int:
    """Of the coroutine of the last call. How many of them are of this function depends on the version of Python."""
    made = calls[-1][0]
    return sys.getrefcount(made)


# Of a coroutine that only its call holds.
_UNHELD = _references([(object(),)])


def _not_awaited(call: _Call) -> StepNotAwaited:
    _, method, step, code, place = call
    named = f"step {step!r}" if isinstance(step, str) else f"ctx.step.{method}()"
    line = next((line for start, end, line in code.co_lines() if start <= place < end), code.co_firstlineno)
    return StepNotAwaited(
        f"{named} is called in {code.co_filename}, line {line}, and never awaited, so it did not run. Write "
        f"`await ctx.step.{method}(...)`."
    )


def noting_calls(cls: type[T]) -> type[T]:
    """Has the public coroutine methods of a class of steps note their calls."""
    for name, method in list(vars(cls).items()):
        if inspect.iscoroutinefunction(method) and not name.startswith("_"):
            setattr(cls, name, _noting(name, method))
    return cls


def _noting(name: str, method: Callable[..., _Made]) -> Callable[..., _Made]:
    @wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> _Made:
        made = method(self, *args, **kwargs)
        frame = sys._getframe(1)
        step = args[0] if args else kwargs.get("name")
        # The line is looked up when it is shown: that goes through all lines of the handler.
        self._replay.calls.add((made, name, step, frame.f_code, frame.f_lasti))
        return made

    return _marked(called)


def _marked(fn: T) -> T:
    """Has inspect, and `unittest.mock` with it, take a plain function for the coroutine function that it stands for."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(fn)
    setattr(fn, "_is_coroutine", getattr(asyncio.coroutines, "_is_coroutine"))  # noqa: B009, B010 no type knows it
    return fn
