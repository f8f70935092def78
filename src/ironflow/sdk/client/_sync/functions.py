# Generated from ironflow/sdk/client/features/functions.py by generate_sync; edit that file.
"""`client.functions`: what is registered, and whether it starts runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ironflow.features.deploys import contract as deploys
from ironflow.features.deploys.contract import CodeVersions, Registration
from ironflow.features.discovery import contract as discovery
from ironflow.features.discovery.contract import EndpointServes
from ironflow.features.functions import contract
from ironflow.features.functions.contract import FunctionStatus, FunctionTick
from ironflow.features.slots import contract as slots
from ironflow.features.slots.contract import SlotLanes
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.views import Function, Registered, view
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.definition.registration import registration, registration_in


class Functions:
    """Registered functions."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def register(
        self,
        function: FunctionDefinition | contract.RegisterFunction | Mapping[str, Any] | None = None,
        /,
        *,
        id: str = "",
        name: str = "",
        triggers: Sequence[Mapping[str, Any] | contract.Trigger] | None = None,
        endpoint_url: str = "",
        mode: Literal["", "pull", "push"] = "",
        **settings: Any,
    ) -> Registered:
        """Creates or updates a function; registering the same again changes nothing. Raises InvalidFunction.

            await client.functions.register(id="settle", triggers=[{"event": "order.paid"}], endpoint_url=url)

        function: a definition, or a dict as the documents of the JavaScript SDK write it: `endpointUrl`, `timeout` in
        milliseconds. Without it, the settings are those of `ironflow.function`, and the handler is elsewhere.
        Workers do this for their functions by themselves.
        """
        given = {"id": id, "name": name, "triggers": triggers, "endpoint_url": endpoint_url, "mode": mode, **settings}
        if function is None:
            request = registration(**given)
        elif any(given.values()):
            raise contract.InvalidFunction("Give a function, or its settings by name; not both.")
        elif isinstance(function, FunctionDefinition):
            request = function.registration()
        else:
            request = registration_in(function) if isinstance(function, Mapping) else function
        return view(Registered, self._calls.call(contract.register, request))

    def discover(self, url: str) -> EndpointServes:
        """What an endpoint serves, asked by the server, and what registering it would change. It registers nothing.

        Raises NoEndpoint, EndpointLocked, EndpointNotReached, InvalidFunction.
        """
        return self._calls.call(discovery.discover, discovery.DiscoverEndpoint(url=url))

    def get(self, function_id: str) -> Function:
        """One function. Raises FunctionNotFound."""
        return view(Function, self._calls.call(contract.get, contract.GetFunction(id=function_id)))

    def list(
        self, *, status: FunctionStatus | str | None = None, name: str = "", mode: str = "", page_size: int = 100
    ) -> Listing[Function]:
        """Functions by id; asks for the next page when it is needed.

        name: a part of id or name. mode: `push` or `pull`.
        """
        request = contract.ListFunctions(
            status=None if status is None else FunctionStatus(status), name=name, mode=mode, limit=page_size
        )
        return Listing(
            self._calls, contract.list_, request, lambda page: [view(Function, function) for function in page.functions]
        )

    def update_status(self, function_id: str, status: FunctionStatus | str) -> Function:
        """Sets a function `active`, `paused` (starts no new runs) or `archived`. Raises FunctionNotFound."""
        request = contract.UpdateFunctionStatus(id=function_id, status=FunctionStatus(status))
        return view(Function, self._calls.call(contract.update_status, request))

    def versions(self, function_id: str) -> CodeVersions:
        """The versions of its code with their workers and runs, and which workers may go. Raises FunctionNotFound."""
        return self._calls.call(deploys.versions, deploys.ListCodeVersions(function_id=function_id))

    def registrations(self, function_id: str, *, page_size: int = 20) -> Listing[Registration]:
        """The configurations that it had, the newest first, with the runs under way. Raises FunctionNotFound."""
        request = deploys.ListRegistrations(function_id=function_id, limit=page_size)
        return Listing(self._calls, deploys.registrations, request, lambda page: page.registrations)

    def slots(self, function_id: str) -> SlotLanes:
        """Which runs hold the slots of its limits and actors, and which wait. Raises FunctionNotFound."""
        return self._calls.call(slots.list_, slots.ListSlots(function_id=function_id))

    def ticks(self, function_id: str, *, limit: int = 10) -> Sequence[FunctionTick]:
        """The next times of its cron triggers; none while it is not active. Raises FunctionNotFound."""
        request = contract.ListFunctionTicks(function_id=function_id, limit=limit)
        return (self._calls.call(contract.list_ticks, request)).ticks

    def move_runs(self, function_id: str, from_version: str, to_version: str = "", *, reason: str = "") -> int:
        """Moves the runs under way that are pinned to a version; how many.

        to_version: without it they begin their next execution with the newest. Raises FunctionNotFound, InvalidMove.
        """
        request = deploys.MoveRuns(
            function_id=function_id, from_version=from_version, to_version=to_version, reason=reason
        )
        return (self._calls.call(deploys.move_runs, request)).runs

    def delete(self, function_id: str) -> None:
        """Deletes a function; its runs stay. Raises FunctionNotFound."""
        self._calls.call(contract.delete, contract.GetFunction(id=function_id))
