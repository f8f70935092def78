"""`parallel(..., until="first_success")`: the first branch that succeeds gives the answer, the others are undone.

Which branch that is, and which others have something to undo, is recorded as a step before anything is undone: every
replay goes on with the same. Source: docs/reference/semantics.md, "The first branch that succeeds".
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ironflow.base.errors import AllBranchesFailed, Unimplemented, ValidationError
from ironflow.sdk.durable.job.report import Start, YieldedStep
from ironflow.sdk.durable.steps.branches import check_concurrency
from ironflow.sdk.durable.steps.compensations import Compensation, Compensations, undoing
from ironflow.sdk.durable.steps.determinism import in_branch
from ironflow.sdk.durable.steps.handles import HandleSteps
from ironflow.sdk.durable.steps.messages import Inbox
from ironflow.sdk.durable.steps.replay import Replay
from ironflow.sdk.durable.steps.signals import Yield
from ironflow.sdk.durable.steps.step_ids import Scope
from ironflow.sdk.user_code.call import call
from ironflow.sdk.values.payload import from_payload


class Race:
    """over: a branch has succeeded; the others end at their next step."""

    def __init__(self) -> None:
        self.over = False


class BranchReplay(Replay):
    """The replay as one branch of a race sees it: with compensations of its own, and without steps after the end."""

    def __init__(self, replay: Replay, race: Race) -> None:
        own = {"_replay": replay, "_race": race, "compensations": Compensations()}
        for name, value in own.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_replay"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._replay, name, value)

    @property
    def _has_lost(self) -> bool:
        return self._race.over and undoing.get() is None

    @property
    def inbox(self) -> Inbox | None:
        return None if self._has_lost else self._replay.inbox

    def check_running(self) -> None:
        super().check_running()
        if self._has_lost:
            raise self.leaving("another branch has succeeded")

    def wait(self, step: YieldedStep) -> Yield:
        return self.leaving("another branch has succeeded") if self._has_lost else super().wait(step)

    def join(self, step_id: str, name: str, handle_id: str, needed: int, *, fails_fast: bool) -> Yield:
        if self._has_lost:
            return self.leaving("another branch has succeeded")
        return super().join(step_id, name, handle_id, needed, fails_fast=fails_fast)

    async def start(self, steps: Sequence[Start]) -> None:
        self.check_running()
        await super().start(steps)


class RacingSteps(HandleSteps):
    """The part of `Steps` that has branches race."""

    __slots__ = ()

    async def _first_success(self, name: str, branches: Sequence[Callable[[Any], Any]], concurrency: int | None) -> Any:
        """The answer of the first branch that succeeds. concurrency: how many run at a time, None for all.

        Bodies of steps that run in other branches end, and are recorded; nothing more is begun there.
        Raises AllBranchesFailed, StepError for the first compensation that failed, ValidationError, Unimplemented.
        """
        check_concurrency(concurrency)
        if not branches:
            raise ValidationError(f"step {name!r}: give at least one branch.")
        if not self._replay.many_waits:
            raise Unimplemented(f"step {name!r}: this server, or the plain protocol, takes one wait at a time.")
        step_id = self._next_id(name)
        scopes = self._scope.race(step_id, len(branches))
        race = Race()
        runners = [_Runner(self, branch, scope, race) for branch, scope in zip(branches, scopes, strict=True)]
        memo = self._replay.completed(step_id, "invoke")
        if memo is None:
            first, undone = await self._decided(step_id, name, runners, race, concurrency)
        else:
            recorded = from_payload(memo.output)
            first, undone = recorded["first"], recorded["undo"]
            await self._repeated(runners, race, first, undone)
        winner = runners[first]
        self._replay.compensations.extend(winner.registered)
        await self._undo([runners[place] for place in undone])
        if winner.error is not None:
            raise winner.error
        return winner.value

    async def _decided(
        self, step_id: str, name: str, runners: "list[_Runner]", race: Race, concurrency: int | None
    ) -> tuple[int, list[int]]:
        """Runs the branches; records which was first, and those that have something to undo."""
        is_decided = False
        try:
            waiting = await _run_all(runners, race, concurrency, decides=self._replay.takes_steps)
            succeeded = [place for place, each in enumerate(runners) if each.succeeded]
            is_decided = bool(succeeded) and self._replay.takes_steps
            if not succeeded and waiting is None:
                raise AllBranchesFailed.of(name, [each.error for each in runners if each.error is not None])
            if not is_decided:
                raise waiting or Yield("the run has failed")
        finally:
            if not is_decided:
                for each in runners:
                    self._replay.compensations.extend(each.registered)
        first = min(succeeded, key=lambda place: (self._replay.ended_in(runners[place].path), place))
        others = [place for place in range(len(runners)) if place != first]
        for place in others:
            self._replay.leave(runners[place].path, cancelled=True)
        undone = [place for place in others if runners[place].registered]
        await self._replay.runner.step(step_id, name, chosen_branch, (first, undone), {}, 0)
        return first, undone

    async def _repeated(self, runners: "list[_Runner]", race: Race, first: int, undone: list[int]) -> None:
        """Replays the branch that was first, and others as far as they came, for what they have to undo."""
        await runners[first].run()
        race.over = True
        for place, each in enumerate(runners):
            if place in undone:
                with suppress(Yield):
                    await each.run()
            if place != first:
                self._replay.settle(each.path)

    async def _undo(self, runners: "list[_Runner]") -> None:
        """Undoes what branches did, each newest first; in a run that is undone, too, with all that it did.

        Raises the first failure of one.
        """
        failed: list[BaseException] = []
        for each in runners:
            numbered = each.numbered()
            if not self._replay.takes_steps:
                self._replay.compensations.extend(numbered[::-1])
                continue
            for compensation in numbered:
                failure = await self._replay.undo(compensation.step_id or "", compensation)
                failed += [] if failure is None else [failure]
        if failed:
            raise failed[0]


class _Runner:
    """One branch. value, error: what it gave, None while it has not ended. path: where the ids of its steps begin."""

    def __init__(self, steps: RacingSteps, branch: Callable[[Any], Any], scope: Scope, race: Race) -> None:
        self._scope = scope
        self._replay = BranchReplay(steps.replay, race)
        self._call = partial(in_branch, scope, branch, type(steps)(self._replay, scope))
        self.path = f"{scope.path}:"
        self.value: Any = None
        self.error: BaseException | None = None
        self.succeeded = False

    async def run(self) -> None:
        """Raises Yield when it waits."""
        self.value, self.error = await call(self._call, on_loop=True)
        self.succeeded = self.error is None

    @property
    def registered(self) -> list[Compensation]:
        return self._replay.compensations.registered

    def numbered(self) -> list[Compensation]:
        """Its compensations with the ids of their steps, the newest first."""
        newest_first = self.registered[::-1]
        return [each._replace(step_id=self._scope.next_id(each.name)) for each in newest_first]


async def _run_all(runners: list[_Runner], race: Race, concurrency: int | None, *, decides: bool) -> Yield | None:
    """Runs branches until one succeeds. Returns the wait of one that waits. decides: whether the first ends the race.

    A branch that waits counts among `concurrency`.
    """
    waiting: Yield | None = None
    lanes = min(concurrency or len(runners), len(runners))
    coming = iter(runners[lanes:])

    async def lane(runner: _Runner | None) -> None:
        nonlocal waiting
        while runner is not None:
            try:
                await runner.run()
            except Yield as wait:
                waiting = wait
                return
            race.over = race.over or (decides and runner.succeeded)
            runner = None if race.over else next(coming, None)

    await asyncio.gather(*map(lane, runners[:lanes]))
    return waiting


async def chosen_branch(first: int, undo: list[int]) -> dict[str, Any]:
    """The body of the step that records which branch was first, and which have something to undo."""
    return {"first": first, "undo": undo}
