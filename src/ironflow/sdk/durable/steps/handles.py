"""Handles: runs of other functions that are started now and joined later.

    handles = await ctx.step.start_many("index", pages)
    results = await ctx.step.join("all", handles)

Source: docs/guides/handles.md; decision 0062.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, overload

from msgspec import UNSET

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvokeError, InvokeTimeoutError, ValidationError
from ironflow.base.time import to_datetime
from ironflow.sdk.definition.function import FunctionDefinition, id_of, output_reader
from ironflow.sdk.durable.job.assignment import CompletedStep
from ironflow.sdk.durable.job.report import HANDLE, Sleep, StartFunction
from ironflow.sdk.durable.steps.awaiting import noting_calls
from ironflow.sdk.durable.steps.branches import FailFast, OnError, collects
from ironflow.sdk.durable.steps.compensations import undoing
from ironflow.sdk.durable.steps.invoke import invoke_error, output_of
from ironflow.sdk.durable.steps.invoking import entity_key_of
from ironflow.sdk.durable.steps.replay import Replay
from ironflow.sdk.durable.steps.step_ids import Scope
from ironflow.sdk.values.declared import Input, Output, Output_co
from ironflow.sdk.values.payload import Read, from_payload, to_payload


@dataclass(frozen=True, slots=True)
class Handle(Generic[Output_co]):
    """A run that was started, and whose output is an Output_co. step_id: of the step that started it."""

    step_id: str
    function_id: str
    run_id: str
    read: Read = field(default=from_payload, repr=False, compare=False)


@noting_calls
class HandleSteps:
    """The part of `Steps` that starts and joins runs."""

    __slots__ = ("_own_scope", "_replay")

    def __init__(self, replay: Replay, scope: Scope) -> None:
        self._replay = replay
        self._own_scope = scope

    @property
    def replay(self) -> Replay:
        """The state of the execution, as its branch sees it."""
        return self._replay

    @property
    def _scope(self) -> Scope:
        """Where its steps are counted: within a compensation, in that."""
        own, found = self._own_scope, undoing.get()
        return own if found is None or own.path.startswith(f"{found.path}:") else found

    @overload
    async def start(
        self,
        function: FunctionDefinition[Input, Output],
        input: Input,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Handle[Output]: ...

    @overload
    async def start(
        self,
        function: FunctionDefinition[None, Output],
        input: None = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Handle[Output]: ...

    @overload
    async def start(
        self, function: str, input: Any = None, *, delay: Duration | None = None, entity_key: str = ""
    ) -> Handle[Any]: ...

    async def start(
        self,
        function: str | FunctionDefinition[Any, Any],
        input: Any = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Handle[Any]:
        """Starts another function, and goes on once its run is durable; without a further execution.

        delay: until the run may start. entity_key: as of invoke. Raises InvokeError when it cannot be started,
        SerializationError, InvalidDuration, Unimplemented for a server or host without handles.
        """
        return (await self.start_many(function, [input], delay=delay, entity_key=entity_key))[0]

    @overload
    async def start_many(
        self,
        function: FunctionDefinition[Input, Output],
        inputs: Iterable[Input],
        *,
        delay: Duration | None = None,
        entity_key: str | Sequence[str] = "",
    ) -> list[Handle[Output]]: ...

    @overload
    async def start_many(
        self,
        function: str,
        inputs: Iterable[Any],
        *,
        delay: Duration | None = None,
        entity_key: str | Sequence[str] = "",
    ) -> list[Handle[Any]]: ...

    async def start_many(
        self,
        function: str | FunctionDefinition[Any, Any],
        inputs: Iterable[Any],
        *,
        delay: Duration | None = None,
        entity_key: str | Sequence[str] = "",
    ) -> list[Handle[Any]]:
        """As start, of one run for each input, many in a report. entity_key: one for all, or one for each input."""
        function_id, read = id_of(function), output_reader(function)
        inputs = list(inputs)
        keys = [entity_key] * len(inputs) if isinstance(entity_key, str) else entity_key
        if len(keys) != len(inputs):
            raise ValidationError(f"{function_id!r}: {len(inputs)} inputs have {len(keys)} entity keys; give one each.")
        delay_ms = 0 if delay is None else duration_ms(delay)
        step_ids: list[str] = []
        fresh: list[StartFunction] = []
        for each, key in zip(inputs, keys, strict=True):
            step_id = self._next_id(function_id)
            step_ids.append(step_id)
            self._replay.timeless.add(step_id)
            if self._replay.ended(step_id, HANDLE) is None:
                payload = self._replay.runner.encoded(to_payload(each, f"the input of {function_id!r}"))
                fresh.append(
                    StartFunction(
                        step_id=step_id,
                        step_name=function_id,
                        function_id=function_id,
                        input=payload,
                        delay_ms=delay_ms or UNSET,
                        entity_key=entity_key_of(self._replay, key),
                    )
                )
        if fresh:
            self._replay.check_running()
            await self._replay.start(fresh)
        return [self._handle(step_id, function_id, read) for step_id in step_ids]

    @overload
    async def join(
        self,
        name: str,
        handles: Sequence[Handle[Output]],
        *,
        first: int | None = None,
        on_error: FailFast = "fail_fast",
        timeout: Duration | None = None,
        rest: Literal["leave", "cancel"] = "leave",
    ) -> list[Output]: ...

    @overload
    async def join(
        self,
        name: str,
        handles: Sequence[Handle[Any]],
        *,
        first: int | None = None,
        on_error: OnError,
        timeout: Duration | None = None,
        rest: Literal["leave", "cancel"] = "leave",
    ) -> list[Any]: ...

    async def join(
        self,
        name: str,
        handles: Sequence[Handle[Any]],
        *,
        first: int | None = None,
        on_error: OnError = "fail_fast",
        timeout: Duration | None = None,
        rest: Literal["leave", "cancel"] = "leave",
    ) -> list[Any]:
        """Waits for runs that were started, and gives their outputs in the order of `handles`.

        The outputs of a function that was given as its definition are what its handler is annotated to return.

        first: waits for so many of them, and gives their outputs in the order in which they ended. on_error:
        `fail_fast` raises the InvokeError of the first that failed, `collect` puts errors in the place of outputs.
        timeout: None for none; raises InvokeTimeoutError, or puts it in the place of each that has not ended. rest:
        `cancel` cancels the runs that are waited for no more.
        Raises InvokeError, InvokeTimeoutError, ValidationError, InvalidDuration.
        """
        step_id = self._next_id(name)
        handles = list(handles)
        timeout_ms = None if timeout is None else duration_ms(timeout)
        _check_join(name, handles, first, on_error, rest)
        timer_id = Scope(step_id).next_id("timeout")
        memo = self._replay.completed(step_id, "invoke")
        if memo is not None:
            recorded = from_payload(memo.output)
            if timeout is not None:
                self._replay.pass_over(timer_id)
            return self._results(handles, recorded["ended"], recorded["late"], on_error, timeout_ms)
        states = [self._replay.handle(each.step_id) for each in handles]
        ended = sorted(_ends(states))
        if not collects(on_error) and any(states[place].failed for _, place in ended):
            self._leave(handles, timer_id if timeout is not None else None, rest)
            return self._results(handles, [place for _, place in ended], [], on_error)
        wanted = len(handles) if first is None else first
        late = timeout is not None and self._replay.completed(timer_id, "sleep") is not None
        if len(ended) < wanted and not late:
            if timeout is not None:
                until = to_datetime(self._replay.now() + duration_ms(timeout))
                self._replay.wait(Sleep(step_id=timer_id, step_name=f"{name}.timeout", until=until))
            fails_fast = not collects(on_error)
            raise self._replay.join(step_id, name, handles[0].step_id, wanted - len(ended), fails_fast=fails_fast)
        if first is None and not late:
            if timeout is not None:
                self._leave([], timer_id, rest)
            return self._results(handles, list(range(len(handles))), [], on_error)
        chosen = [place for _, place in ended][:wanted]
        missing = sorted(set(range(len(handles))) - set(chosen)) if len(chosen) < wanted else []
        if first is None:
            chosen.sort()
        self._replay.check_running()
        others = [each for place, each in enumerate(handles) if place not in set(chosen)]
        self._leave(others, timer_id if timeout is not None else None, rest)
        await self._replay.runner.step(step_id, name, _chosen, (chosen, missing), {}, 0)
        return self._results(handles, chosen, missing, on_error, timeout_ms)

    def _results(
        self,
        handles: list[Handle],
        chosen: list[int],
        late: list[int],
        on_error: OnError,
        timeout_ms: int | None = None,
    ) -> list[Any]:
        """The outputs, in the order of `chosen`. late: those whose time was over, timeout_ms.

        A run that was started anew, because an attempt ended with its failure, is waited for again.
        """
        results: dict[int, Any] = {}
        for place in chosen:
            handle, state = handles[place], self._replay.handle(handles[place].step_id)
            if state.status == "waiting":
                raise self._replay.join(handle.step_id, handle.function_id, handle.step_id, 1, fails_fast=False)
            try:
                results[place] = _output(state, handle)
            except InvokeError as error:
                self._replay.runner.raises(error, handle.step_id)
                if not collects(on_error):
                    raise
                results[place] = error
        for place in late:
            error = _too_late(handles[place], timeout_ms)
            if not collects(on_error):
                raise error
            results[place] = error
        return [results[place] for place in (sorted(results) if late else chosen)]

    def _leave(self, handles: Sequence[Handle], timer_id: str | None, rest: str) -> None:
        """Of these handles and the timer, what is still open is waited for no more."""
        if timer_id is not None:
            self._replay.cancel_step(timer_id)
        if rest == "cancel":
            for each in handles:
                if self._replay.handle(each.step_id).status == "waiting":
                    self._replay.cancel_step(each.step_id)

    def _handle(self, step_id: str, function_id: str, read: Read) -> Handle[Any]:
        """Raises InvokeError when the run could not be started."""
        state = self._replay.handle(step_id)
        if state.failed and state.child_run_id is None:
            self._replay.child_output(state, function_id)
        return Handle(step_id, function_id, state.child_run_id or "", read)

    def _next_id(self, name: str) -> str:
        self._check_name(name)
        return self._scope.next_id(name)

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValidationError(f"a step is called {name!r}; give it a name.")
        self._replay.runner.check_outside(name)
        self._replay.check_open()


def _check_join(name: str, handles: list[Handle], first: int | None, on_error: str, rest: str) -> None:
    """Raises ValidationError."""
    if not handles or not all(isinstance(each, Handle) for each in handles):
        raise ValidationError(f"step {name!r} joins handles, those that start or start_many gave: at least one.")
    if first is not None and not 1 <= first <= len(handles):
        raise ValidationError(f"step {name!r}: first is {first!r}; write a number from 1 to {len(handles)}.")
    collects(on_error)
    if rest not in ("leave", "cancel"):
        raise ValidationError(f"rest is {rest!r}; write 'leave' or 'cancel'.")


def _ends(states: list[CompletedStep]) -> Iterable[tuple[float, int]]:
    """When each of them that has ended did so, with its place."""
    for place, state in enumerate(states):
        if state.status != "waiting":
            yield (state.ended_at.timestamp() if state.ended_at is not None else 0.0, place)


def _output(state: CompletedStep, handle: Handle) -> Any:
    """Raises InvokeError."""
    if state.status == "cancelled":
        raise invoke_error({"cause": "it was cancelled", "child_run_id": handle.run_id}, handle.function_id)
    return output_of(state, handle.function_id, read=handle.read)


def _too_late(handle: Handle, timeout_ms: int | None) -> InvokeTimeoutError:
    cause = "it did not end before the join timed out"
    error = {"cause": cause, "child_run_id": handle.run_id, "timed_out": True}
    late = invoke_error(error, handle.function_id, timeout_ms)
    assert isinstance(late, InvokeTimeoutError)
    return late


def _chosen(ended: list[int], late: list[int]) -> dict[str, list[int]]:
    """The body of the step that records which handles a join has taken."""
    return {"ended": ended, "late": late}
