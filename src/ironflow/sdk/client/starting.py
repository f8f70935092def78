"""The part of the client that starts runs of functions by their ids, or by their definitions."""

from typing import Any, overload

from ironflow.base.duration import Duration
from ironflow.features.events import contract as events_contract
from ironflow.features.events.contract import Invoked
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.views import RunResult, view
from ironflow.sdk.client.views.run_results import output_of, wait_times
from ironflow.sdk.definition.function import FunctionDefinition, id_of, output_reader
from ironflow.sdk.values.declared import Input, Output
from ironflow.sdk.values.payload import NOTHING, from_payload, to_payload
from ironflow.sdk.values.run_keys import IfRunning


class Starting:
    """Starts runs of functions, whatever their triggers."""

    _calls: Calls

    @overload
    async def invoke(
        self,
        function_id: FunctionDefinition[Input, Any],
        data: Input,
        *,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Invoked: ...

    @overload
    async def invoke(
        self,
        function_id: FunctionDefinition[None, Any],
        data: None = None,
        *,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Invoked: ...

    @overload
    async def invoke(
        self,
        function_id: str,
        data: Any = None,
        *,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Invoked: ...

    async def invoke(
        self,
        function_id: str | FunctionDefinition[Any, Any],
        data: Any = None,
        *,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Invoked:
        """Starts one run of one function, whatever its triggers.

        function_id: or a definition, against whose handler type checkers hold `data`.
        key: unique among the runs of the function that have not ended. if_running: when one has it, `use` answers its
        id, marked `existing`; `refuse` raises RunKeyHeld; `replace` cancels it in the commit that starts this one.
        Raises FunctionNotFound, FunctionNotActive, InvalidRunKey.
        """
        name = id_of(function_id)
        request = events_contract.Invoke(
            function_id=name,
            data=to_payload(data, f"the input of {name!r}"),
            idempotency_key=idempotency_key,
            key=key,
            if_running=if_running if key else "",
        )
        return await self._calls.call(events_contract.invoke, request)

    @overload
    async def invoke_sync(
        self,
        function_id: FunctionDefinition[Input, Output],
        data: Input,
        *,
        timeout: Duration | None = None,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Output: ...

    @overload
    async def invoke_sync(
        self,
        function_id: FunctionDefinition[None, Output],
        data: None = None,
        *,
        timeout: Duration | None = None,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Output: ...

    @overload
    async def invoke_sync(
        self,
        function_id: str,
        data: Any = None,
        *,
        timeout: Duration | None = None,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Any: ...

    async def invoke_sync(
        self,
        function_id: str | FunctionDefinition[Any, Any],
        data: Any = None,
        *,
        timeout: Duration | None = None,
        idempotency_key: str = "",
        key: str = "",
        if_running: IfRunning = "use",
    ) -> Any:
        """As invoke, then waits for the run and answers its output: of a definition, as what its handler is annotated
        to return.

        Raises RunFailedError, RunCancelledError, or DeadlineExceeded when the run goes on after `timeout`;
        ValidationError for an output of another type.
        """
        name = id_of(function_id)
        timeout_ms, call_s = wait_times(timeout)
        request = events_contract.InvokeSync(
            function_id=name,
            data=to_payload(data, f"the input of {name!r}"),
            timeout_ms=timeout_ms,
            idempotency_key=idempotency_key,
            key=key,
            if_running=if_running if key else "",
            detached=True,
        )
        found = await self._calls.call(events_contract.invoke_sync, request, timeout=call_s)
        output = output_of(view(RunResult, found.result))
        read = output_reader(function_id)
        return output if read is from_payload else read(found.result.output or NOTHING)
