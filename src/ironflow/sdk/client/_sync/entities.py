# Generated from ironflow/sdk/client/features/entities.py by generate_sync; edit that file.
"""`client.entities`: a state for each key, which the handlers of an entity change one at a time."""

from collections.abc import Iterator
from typing import Any

from ironflow.base.duration import Duration
from ironflow.base.entity_streams import stream_of
from ironflow.features.entities import contract
from ironflow.features.events import contract as events
from ironflow.features.events.contract import Invoked
from ironflow.features.streams import contract as streams
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.views import Entity, RunResult, StreamEvent, view
from ironflow.sdk.client.views.run_results import output_of, wait_times
from ironflow.sdk.values.payload import to_payload


class Entities:
    """Entities by name and key, as `entity(...)` defines them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(self, entity: str, key: str) -> Entity:
        """The state, its version in the entity's stream, and when it was set. Raises EntityNotFound."""
        return view(Entity, self._calls.call(contract.get, contract.GetEntity(entity=entity, key=key)))

    def list(self, entity: str, *, page_size: int = 100) -> Listing[Entity]:
        """The entities of one name that have a state, by key; asks for the next page when it is needed."""
        request = contract.ListEntities(entity=entity, limit=page_size)
        return Listing(
            self._calls, contract.list_, request, lambda page: [view(Entity, each) for each in page.entities]
        )

    def history(
        self, entity: str, key: str, *, from_version: int = 0, backward: bool = False, page_size: int = 100
    ) -> Iterator[StreamEvent]:
        """The events of the entity's stream: the data of those called `entity.state.changed` is the state.

        from_version: the first to read; 0 for the oldest, or the newest when backward.
        """
        direction = "backward" if backward else "forward"
        version: int | None = from_version
        while version is not None:
            request = streams.ReadStream(
                entity_id=stream_of(entity, key), from_version=version, limit=page_size, direction=direction
            )
            page = self._calls.call(streams.read, request)
            for event in page.events:
                yield view(StreamEvent, event)
            version = page.next_version

    def call(
        self,
        entity: str,
        key: str,
        handler: str,
        data: Any = None,
        *,
        timeout: Duration | None = None,
        idempotency_key: str = "",
    ) -> Any:
        """Calls a handler of the entity and answers what it returns; calls of one key are handled in order.

        handler: the name of its function, as `make` of `payment.make`. The run goes on when its caller does not wait.
        Raises RunFailedError, RunCancelledError, FunctionNotFound, InvalidEntity, or DeadlineExceeded when the run goes
        on after `timeout`.
        """
        timeout_ms, call_s = wait_times(timeout)
        request = events.InvokeSync(
            function_id=f"{entity}.{handler}",
            data=to_payload(data, f"the input of {handler!r}"),
            timeout_ms=timeout_ms,
            idempotency_key=idempotency_key,
            detached=True,
            entity_key=key,
        )
        found = self._calls.call(events.invoke_sync, request, timeout=call_s)
        return output_of(view(RunResult, found.result))

    def send(self, entity: str, key: str, handler: str, data: Any = None, *, idempotency_key: str = "") -> Invoked:
        """As call, and answers at once with the id of the run."""
        request = events.Invoke(
            function_id=f"{entity}.{handler}",
            data=to_payload(data, f"the input of {handler!r}"),
            idempotency_key=idempotency_key,
            entity_key=key,
        )
        return self._calls.call(events.invoke, request)
