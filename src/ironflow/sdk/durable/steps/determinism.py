"""`ctx.now()`, `ctx.uuid()` and `ctx.random`: the same in every replay, from the run and the position in its handler.

The position is that of the scope: of the run, or of the branch of a parallel whose code asks. Source: ADR 0058.
"""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from ironflow.base.errors import Unimplemented
from ironflow.base.time import Millis, to_datetime
from ironflow.sdk.durable.steps.step_ids import Scope

HANDLER_TIME = "handler-time"
# Of the ids that `uuid` makes, by RFC 9562, 5.5.
NAMESPACE = UUID("6f1a1d5e-3c0b-5d5e-9f0e-2b8a6f0c7d11")
# A number has the time, and up to so many calls of one place at that time.
CALLS_MAX = 1_000_000

# The branch whose code runs; None in the handler itself.
_scope: ContextVar[Scope | None] = ContextVar("ironflow_scope", default=None)


class Place(NamedTuple):
    """Where a value was set: the same in every replay, and in their order where several places set one name.

    after_ms: from the start of the run to the end of the last step before, in the handler or its branch. call: of
    those of the handler or branch. path: of it.
    """

    after_ms: Millis
    call: int
    path: tuple[tuple[int, int, str], ...]

    @property
    def number(self) -> int:
        return self.after_ms * CALLS_MAX + min(self.call, CALLS_MAX - 1)


async def in_branch(scope: Scope, branch: Callable[[Any], Any], steps: Any) -> Any:
    """Runs a branch; what is asked in it has the position of the branch."""
    token = _scope.set(scope)
    try:
        result = branch(steps)
        return await result if inspect.isawaitable(result) else result
    finally:
        _scope.reset(token)


class Course:
    """The time, ids and chance of one execution.

    began_at: of the run. ended_at: when a step ended, as its handler knows it; None for one that has not. check: raises
    within the body of a step. kept: whether the server keeps these times as they are.
    """

    def __init__(
        self,
        root: Scope,
        began_at: Millis,
        ended_at: Callable[[str], Millis | None],
        check: Callable[[str], None],
        *,
        kept: bool,
    ) -> None:
        self._root = root
        self._began_at = began_at
        self._ended_at = ended_at
        self._check = check
        self._kept = kept

    @classmethod
    def of_nothing(cls) -> "Course":
        """Of a context that a test makes."""
        return cls(Scope("run"), 0, lambda _: None, lambda _: None, kept=True)

    def check_outside(self, what: str) -> None:
        """Raises StepWithinStep in the body of a step."""
        self._check(what)

    @property
    def in_branch(self) -> bool:
        """Whether the code of a branch asks."""
        return _scope.get() is not None

    def now(self) -> datetime:
        """Raises Unimplemented for a server that corrects the times of steps."""
        if not self._kept:
            raise Unimplemented("ctx.now(): this server, or the plain protocol, does not keep the times of steps.")
        return to_datetime(self._time_in(_scope.get() or self._root))

    def uuid(self) -> UUID:
        """Raises StepWithinStep."""
        self._check("ctx.uuid()")
        scope = _scope.get() or self._root
        scope.uuids += 1
        return uuid5(NAMESPACE, f"{scope.path}:{scope.uuids}")

    @property
    def random(self) -> Random:
        """Raises StepWithinStep."""
        self._check("ctx.random")
        scope = _scope.get() or self._root
        if scope.random is None:
            scope.random = Random(sha256(f"random:{scope.path}".encode()).digest())
        return scope.random

    def place(self) -> Place | None:
        """Where a value is set; None for a server that corrects the times of steps."""
        if not self._kept:
            return None
        scope = _scope.get() or self._root
        scope.values += 1
        # By number where branches are numbered: the tenth comes after the ninth.
        parts = tuple((0, int(each), "") if each.isdecimal() else (1, 0, each) for each in scope.path.split(":"))
        return Place(max(self._time_in(scope) - self._began_at, 0), scope.values, parts)

    def _time_in(self, scope: Scope) -> Millis:
        """When the last step of the scope, and of the branches that it has had, ended; else when it began."""
        return self._latest(scope.asked, scope.branches, self._beginning(scope))

    def _beginning(self, scope: Scope) -> Millis:
        """Without what runs beside the branch: how far that is differs from one execution to the next."""
        if scope.parent is None:
            return self._began_at
        steps, branches = scope.begun_after
        parent = scope.parent
        return self._latest(parent.asked[:steps], parent.branches[:branches], self._beginning(parent))

    def _latest(self, steps: list[str], branches: list[Scope], at: Millis) -> Millis:
        """The latest end of these steps, and of those in these branches; `at` when all ended before."""
        for step_id in steps:
            at = max(at, self._ended_at(step_id) or at)
        for branch in branches:
            at = self._latest(branch.asked, branch.branches, at)
        return at
