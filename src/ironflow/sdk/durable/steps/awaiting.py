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
# The coroutine, its method and step, the code that made the call, and the offset of the instruction in it.
_Call: TypeAlias = "tuple[_Made, str, object, CodeType, int]"


class Calls:
    """The calls of step methods in one execution that may not have been awaited.

    found: the first call that nothing can await any more.
    """

    def __init__(self) -> None:
        self.found: StepNotAwaited | None = None
        self._calls: list[_Call] = []
        # Calls that were still referenced when a branch ended to wait.
        self._left: list[_Call] = []
        self._prune_at = KEPT_MIN

    def add(self, call: _Call) -> None:
        calls = self._calls
        calls.append(call)
        if len(calls) > self._prune_at:
            self._calls = [each for each in calls if _is_new(each[0])]
            self._prune_at = max(KEPT_MIN, 2 * len(self._calls))

    def look(self, *, leaving: bool = False) -> None:
        """Finds calls that nothing references, and forgets the others. Python does not warn of those it finds.

        Called before a step raises, and when the handler has returned: an exception drops the references of the frames
        that it leaves. leaving: a replay will await them.
        """
        calls, self._calls = self._calls, []
        # One after the other, so that the list holds the only reference to each.
        calls.reverse()
        while calls:
            if _is_new(calls[-1][0]) and _references(calls) == _UNHELD:
                calls[-1][0].close()
                self.found = self.found or _not_awaited(calls[-1])
            elif leaving:
                self._left.append(calls[-1])
            calls.pop()

    def close(self) -> None:
        """Called at the end. Closes what a replay will await, so that Python does not warn of it."""
        left = self._left
        while left:
            if _is_new(left[-1][0]) and _references(left) == _UNHELD:
                left[-1][0].close()
            left.pop()


def _is_new(made: _Made) -> bool:
    """As inspect.getcoroutinestate. `cr_frame` is read last: it makes a frame for a new coroutine."""
    return not (made.cr_suspended or made.cr_running) and made.cr_frame is not None


def _references(calls: Sequence[Sequence[Any]]) -> int:
    """References to the coroutine of the last call, those of this function included, which Python versions count
    differently."""
    made = calls[-1][0]
    return sys.getrefcount(made)


# The references to a coroutine that only its entry in the list holds.
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
    """A class decorator: the public coroutine methods note their calls."""
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
    """Marks a plain function as the coroutine function that it wraps, for `inspect` and `unittest.mock`."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(fn)
    setattr(fn, "_is_coroutine", getattr(asyncio.coroutines, "_is_coroutine"))  # noqa: B009, B010 no type knows it
    return fn
