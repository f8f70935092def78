"""Steps that run another function, and give its output as the type that it declares. Source: step-semantics.md 6."""

from typing import Any, Literal, overload

from msgspec import UNSET, UnsetType

from ironflow.base.duration import Duration, InvalidDuration, duration_ms
from ironflow.base.errors import Unimplemented, ValidationError
from ironflow.sdk.definition.function import FunctionDefinition, id_of, output_reader
from ironflow.sdk.durable.job.report import InvokeFunction, InvokeFunctionAsync
from ironflow.sdk.durable.steps.awaiting import noting_calls
from ironflow.sdk.durable.steps.invoke import Child, StartUnanswered
from ironflow.sdk.durable.steps.replay import Replay
from ironflow.sdk.durable.steps.retrying import ENTITY_INVOKES
from ironflow.sdk.values.declared import Input, Output
from ironflow.sdk.values.payload import to_payload

INVOKE_DEFAULT = "30s"

TimeoutFrom = Literal["call", "start"]


@noting_calls
class InvokingSteps:
    """The part of Steps that runs functions and waits for their outputs."""

    __slots__ = ()

    _replay: Replay

    def _next_id(self, name: str) -> str:
        raise NotImplementedError

    # Where the definition is given, the input is checked against its handler's.
    @overload
    async def invoke(
        self,
        function: FunctionDefinition[Input, Output],
        input: Input,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Output: ...

    @overload
    async def invoke(
        self,
        function: FunctionDefinition[None, Output],
        input: None = None,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Output: ...

    @overload
    async def invoke(
        self,
        function: str,
        input: Any = None,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Any: ...

    async def invoke(
        self,
        function: str | FunctionDefinition[Any, Any],
        input: Any = None,
        *,
        timeout: Duration = INVOKE_DEFAULT,
        timeout_from: TimeoutFrom = "call",
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Any:
        """Runs another function and gives its output: of a definition, as what its handler is annotated to return.

        timeout_from: `start` counts it from the start of the run, so that a queue uses nothing of it up. delay: until
        the run may start; it comes before the time-out. entity_key: of the entity that the function is a handler of, as
        `client.entities.call` names it; empty for the key in its input.
        Raises InvokeError when it failed or could not be started, InvokeTimeoutError when it took longer than
        `timeout`, SerializationError, ValidationError for an output of another type.
        """
        function_id = id_of(function)
        step_id = self._next_id(function_id)
        timeout_ms = positive_ms(timeout, f"{function_id!r} is waited for")
        done = self._replay.ended(step_id, "invoke_function")
        if done is not None:
            return self._replay.child_output(done, function_id, timeout_ms, output_reader(function))
        raise self._replay.wait(
            InvokeFunction(
                step_id=step_id,
                step_name=function_id,
                function_id=function_id,
                input=self._replay.runner.encoded(to_payload(input, f"the input of {function_id!r}")),
                invoke_timeout_ms=timeout_ms,
                delay_ms=self._delay_ms(delay),
                timeout_from=self._timeout_from(timeout_from),
                entity_key=entity_key_of(self._replay, entity_key),
            )
        )

    @overload
    async def invoke_async(
        self,
        function: FunctionDefinition[Input, Any],
        input: Input,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Child: ...

    @overload
    async def invoke_async(
        self,
        function: FunctionDefinition[None, Any],
        input: None = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Child: ...

    @overload
    async def invoke_async(
        self, function: str, input: Any = None, *, delay: Duration | None = None, entity_key: str = ""
    ) -> Child: ...

    async def invoke_async(
        self,
        function: str | FunctionDefinition[Any, Any],
        input: Any = None,
        *,
        delay: Duration | None = None,
        entity_key: str = "",
    ) -> Child:
        """Starts another function, and goes on once its run is durable. delay: until the run may start.

        entity_key: as of invoke.
        A server with `async-starts` starts it while the execution goes on; elsewhere it takes a further execution.

        Raises InvokeError when it cannot be started, SerializationError.
        """
        function_id = id_of(function)
        step_id = self._next_id(function_id)
        self._replay.timeless.add(step_id)
        done = self._replay.ended(step_id, "invoke_function")
        if done is None:
            step = InvokeFunctionAsync(
                step_id=step_id,
                step_name=function_id,
                function_id=function_id,
                input=self._replay.runner.encoded(to_payload(input, f"the input of {function_id!r}")),
                delay_ms=self._delay_ms(delay),
                entity_key=entity_key_of(self._replay, entity_key),
            )
            if not self._replay.starts_async:
                raise self._replay.wait(step)
            self._replay.check_running()
            try:
                await self._replay.start([step])
            except StartUnanswered:
                # A server of an older release: the run is durable, and the step is found with the next execution.
                raise self._replay.wait(step) from None
            done = self._replay.handle(step_id)
        return Child(self._replay.child_output(done, function_id)["run_id"])

    def _delay_ms(self, delay: Duration | None) -> int | UnsetType:
        if delay is not None and not self._replay.many_waits:
            raise Unimplemented("delay=: this server, or the plain protocol, starts runs at once.")
        return UNSET if delay is None else duration_ms(delay)

    def _timeout_from(self, begin: str) -> str | UnsetType:
        if begin not in ("call", "start"):
            raise ValidationError(f"timeout_from is {begin!r}; write 'call' or 'start'.")
        if begin == "start" and not self._replay.many_waits:
            raise Unimplemented("timeout_from='start': this server, or the plain protocol, counts from the call.")
        return begin if begin == "start" else UNSET


def entity_key_of(replay: Replay, key: str) -> str | UnsetType:
    """The key of an entity as a report has it. Raises Unimplemented where the server does not take one."""
    if key and ENTITY_INVOKES not in replay.features:
        raise Unimplemented("entity_key=: this server, or the plain protocol, takes the key from the input alone.")
    return key or UNSET


def positive_ms(span: Duration, what: str) -> int:
    """Raises InvalidDuration for none. what: the beginning of the message."""
    length_ms = duration_ms(span)
    if length_ms == 0:
        raise InvalidDuration(f"{what} {span!r}; write a duration longer than nothing.")
    return length_ms
